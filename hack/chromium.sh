#!/usr/bin/env bash
# Installs the browser that the download page is tested in, unless there is one.
# Only Debian's package is known to work; elsewhere put a chromium into PATH.
set -euo pipefail
command -v chromium >/dev/null && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
	echo "installing chromium, for the test of the download page" >&2
	apt-get install -y --no-install-recommends chromium >/dev/null || { apt-get update >/dev/null && apt-get install -y --no-install-recommends chromium >/dev/null; }
	exit
fi
echo "install chromium (the Debian package of that name), for the test of the download page" >&2
exit 1
