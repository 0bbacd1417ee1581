"""Docker's JSON objects as typed structures: names and omissions exactly as on the wire, no meaning.

Fields have Python names and are written under the Engine API's (`common.docker_name`). One at its default is omitted
when written; one that Docker always writes is `None` by default and always filled in by `api/convert`. Integers are
nanoseconds, nano-CPUs and bytes.
"""
