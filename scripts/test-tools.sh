#!/bin/sh
# Clients that no one here wrote, for the tests of every protocol: installed where that is allowed,
# named where it is not. Quick when all are there.
set -u

# command, or another name of it:package of Debian and Ubuntu
wanted="mosquitto_sub:mosquitto-clients mosquitto_pub:mosquitto-clients
coap-client,coap-client-notls,coap-client-openssl:libcoap3-bin gcc:gcc python3:python3 curl:curl"

there() {
  for name in $(printf '%s' "$1" | tr , ' '); do
    command -v "$name" >/dev/null 2>&1 && return 0
  done
  return 1
}

missing() {
  for pair in $wanted; do
    there "${pair%%:*}" || printf '%s\n' "${pair##*:}"
  done | sort -u
}

packages=$(missing)
[ -z "$packages" ] && exit 0

if [ "$(id -u)" = 0 ]; then
  root=""
elif sudo -n true >/dev/null 2>&1; then
  root="sudo -n"
else
  root="none"
fi

if [ "$root" != none ] && command -v apt-get >/dev/null 2>&1; then
  echo "test tools: installing" $packages
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive $root apt-get install -y --no-install-recommends $packages >/dev/null 2>&1 ||
    { $root apt-get update >/dev/null 2>&1 &&
      DEBIAN_FRONTEND=noninteractive $root apt-get install -y --no-install-recommends $packages >/dev/null; } || true
  packages=$(missing)
fi

if [ -n "$packages" ]; then
  echo "test tools: these are missing and cannot be installed from here; tests that need them will fail:" >&2
  for package in $packages; do echo "  $package" >&2; done
  echo "on Debian or Ubuntu: sudo apt-get install" $packages >&2
fi
exit 0
