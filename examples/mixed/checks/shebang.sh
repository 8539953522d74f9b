#!/bin/sh
# Every shell script says which shell it is for.
for script in checks/*.sh; do
  head -n 1 "$script" | grep -q '^#!/bin/sh$' || { echo "$script: no #!/bin/sh" >&2; exit 1; }
done
