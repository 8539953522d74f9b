#!/bin/sh
# No tab characters in the sources of this example.
tab=$(printf '\t')
! grep -n "$tab" api/*.mjs muster.config.ts
