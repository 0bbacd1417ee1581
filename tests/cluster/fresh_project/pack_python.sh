# A root file system with nothing but Python, from a Debian that has one. The argument is the archive's name.
set -eu
libraries=$(ldd /usr/bin/python3 /usr/lib/python3*/lib-dynload/*.so | sed -n 's/^.*[[:space:]]\(\/[^ ]*\) (0x.*/\1/p' | sort -u)
tar --create --gzip --dereference --file "$1" --directory / usr/bin/python3 $(cd / && ls -d usr/lib/python3*) \
  $(echo "$libraries" | sed 's/^\///')
