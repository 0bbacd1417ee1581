"""The wire format of names: datagrams to questions, answers to datagrams. It knows neither sockets nor the cluster.

Negative answers carry no SOA record: a resolver must not keep them then (RFC 2308, section 5), so a name that has just
come into being is found at once.
"""

from dataclasses import dataclass
from struct import pack, unpack_from

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from orchestrator.model.names import TTL_S
from orchestrator.network.dns_rules import Answer, Outcome, RecordType

MAX_QUERY_BYTES = 4096
"""A question with every option known is a few hundred bytes."""
MAX_DATAGRAM_BYTES = 1232
"""What passes every network unfragmented (DNS flag day 2020); longer answers are truncated and fetched over TCP."""
_MIN_DATAGRAM_BYTES = 512
"""What a client takes that does not say more (RFC 1035, section 4.2.1)."""
MAX_STREAM_BYTES = 65535
_HEADER_BYTES = 12
_ADDRESS_RECORD_BYTES = 16
"""With its name as a pointer to the question's."""
_IS_RESPONSE = 0x8000
_RECORD_TYPES = {
    dns.rdatatype.A: RecordType.ADDRESS,
    dns.rdatatype.ANY: RecordType.ADDRESS,
    dns.rdatatype.PTR: RecordType.POINTER,
}


class Malformed(Exception):
    """Not a question we can read. `reply` is the refusal to send, None when there is nobody to answer."""

    def __init__(self, reason: str, reply: bytes | None = None) -> None:
        super().__init__(reason)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Question:
    """One question, with the message it came in."""

    name: str
    """Without the final dot."""
    record_type: RecordType
    message: dns.message.Message
    data: bytes

    @property
    def max_datagram_bytes(self) -> int:
        """The longest answer to give in one datagram."""
        offered = self.message.payload if self.message.edns >= 0 else 0
        return max(_MIN_DATAGRAM_BYTES, min(offered, MAX_DATAGRAM_BYTES))


def read_question(data: bytes) -> Question:
    """The question in a message. Raises `Malformed`, with the refusal the asker should get."""
    if len(data) < _HEADER_BYTES:
        raise Malformed("shorter than a header")
    if unpack_from("!H", data, 2)[0] & _IS_RESPONSE:
        # Answering answers would let two servers talk for ever.
        raise Malformed("not a question")
    try:
        message = dns.message.from_wire(data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError) as error:
        raise Malformed(f"unreadable: {error}", _bare_refusal(data, dns.rcode.FORMERR)) from error
    refusal = _refusal_of(message)
    if refusal is not None:
        raise Malformed(dns.rcode.to_text(refusal), _bare_refusal(data, refusal))
    if message.edns > 0:
        raise Malformed("unknown EDNS version", _reply_to(message, dns.rcode.BADVERS).to_wire())
    asked = message.question[0]
    record_type = _RECORD_TYPES.get(asked.rdtype, RecordType.OTHER)
    return Question(asked.name.to_text(omit_final_dot=True), record_type, message, data)


def write_answer(question: Question, answer: Answer, *, max_bytes: int) -> bytes:
    """The answer as a message of at most `max_bytes`; what does not fit is left out and the message marked so.

    Not all clients ask again over TCP then: older C libraries take what there is (musl before 1.2.4). So there are as
    many addresses as fit. The library puts them in a random order: each is first, and each is left out, equally often.
    """
    if answer.outcome is Outcome.NO_SUCH_NAME:
        reply = _reply_to(question.message, dns.rcode.NXDOMAIN)
    else:
        reply = _reply_to(question.message, dns.rcode.NOERROR)
        asked = question.message.question[0].name
        if answer.addresses:
            records = dns.rrset.from_text_list(asked, TTL_S, "IN", "A", list(answer.addresses))
            fitting = (max_bytes - len(reply.to_wire())) // _ADDRESS_RECORD_BYTES
            if fitting < len(records):
                records = dns.rrset.from_rdata_list(asked, TTL_S, records.processing_order()[:fitting])
                reply.flags |= dns.flags.TC
            reply.answer.append(records)
        if answer.pointers:
            pointers = [f"{pointer}." for pointer in answer.pointers]
            reply.answer.append(dns.rrset.from_text_list(asked, TTL_S, "IN", "PTR", pointers))
    return reply.to_wire(max_size=max_bytes, prefer_truncation=True)


def write_failure(question: Question) -> bytes:
    """SERVFAIL: nobody who could know the answer gave one in time."""
    return _reply_to(question.message, dns.rcode.SERVFAIL).to_wire()


def is_answer_to(question: Question, reply: bytes) -> bool:
    """Whether the message has the question's id and says to be an answer."""
    if len(reply) < _HEADER_BYTES or reply[:2] != question.data[:2]:
        return False
    return bool(unpack_from("!H", reply, 2)[0] & _IS_RESPONSE)


def is_failure(reply: bytes) -> bool:
    """Whether the server that answered could not: another may."""
    return reply[3] & 0x0F in (dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP)


def truncated(question: Question) -> bytes:
    """An answer that only says: ask again over TCP."""
    reply = _reply_to(question.message, dns.rcode.NOERROR)
    reply.flags |= dns.flags.TC
    return reply.to_wire()


def _refusal_of(message: dns.message.Message) -> dns.rcode.Rcode | None:
    if message.opcode() != dns.opcode.QUERY:
        return dns.rcode.NOTIMP
    if len(message.question) != 1:
        return dns.rcode.FORMERR
    return None if message.question[0].rdclass == dns.rdataclass.IN else dns.rcode.REFUSED


def _reply_to(message: dns.message.Message, code: dns.rcode.Rcode) -> dns.message.Message:
    reply = dns.message.make_response(message, recursion_available=True, our_payload=MAX_DATAGRAM_BYTES)
    reply.flags |= dns.flags.AA
    reply.set_rcode(code)
    return reply


def _bare_refusal(data: bytes, code: int) -> bytes:
    """A header alone: the question may be what could not be read."""
    identifier, flags = unpack_from("!HH", data)
    kept = flags & 0x7900
    return pack("!HHHHHH", identifier, _IS_RESPONSE | kept | code, 0, 0, 0, 0)
