#!/bin/sh
# Bring the Debian packages that some tests run against, or say which tests are skipped and what would bring them.
set -u

missing=""
command -v Orthanc >/dev/null 2>&1 || [ -x /usr/sbin/Orthanc ] || missing="$missing orthanc orthanc-dicomweb"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    # A package's service would take the ports that tests and people choose: it is installed and not started.
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && trap 'rm -f "$policy"' EXIT; }
    apt-get update -qq
    for package in $missing; do
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
            echo "could not install $package: the tests that need it are skipped"
    done
else
    echo "skipped without their Debian packages: the tests against Orthanc (orthanc, orthanc-dicomweb), a Redis server"
    echo "(redis-server) and the chart page in a browser (chromium). As root: apt-get install$missing"
fi
