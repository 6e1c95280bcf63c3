#!/usr/bin/env bash
# A worker in bash and curl: worker.sh TYPE. One job at a time; the first SIGTERM lets it end.
#
# A job's input is {"seconds": 2, "fail": "why"}, both optional. The answers come without spaces and
# there is one job in them, so a regular expression reads them; with more of either, take jq.
set -muo pipefail # m: what runs in the background is a group of its own, to be killed as one

server=${TRIO_JOBS_SERVER:-http://127.0.0.1:8080} type=${1:-demo} name=$(hostname)/$$ lease=10
auth=(${TRIO_JOBS_TOKEN:+-H "Authorization: Bearer $TRIO_JOBS_TOKEN"})
files=$(mktemp -d) stopping=
trap 'rm -rf "$files"' EXIT
trap 'stopping=yes' TERM INT

work() { # the job itself: its output on stdout, on failure the reason on stderr
  sleep "$(member seconds "$1" || echo 0)"
  if member fail "$1" >&2; then return 1; fi
  echo "{\"by\":\"bash $BASH_VERSION\"}"
}

member() { # member NAME JSON: a text or a number, wherever it is
  [[ $2 =~ \"$1\":\"?([^\",}]+) ]] && printf %s "${BASH_REMATCH[1]}"
}

call() { # call PATH [OPTION…]: POSTs and prints the answer; what is not 2xx is a failure
  curl -sS --fail-with-body -X POST "${auth[@]}" "${@:2}" "$server/worker/$1"
}

json() { call "$1" -H 'Content-Type: application/json' -d "$2"; }
heartbeats() { # heartbeats PID: keeps the job; stops it when it has to end, or is lost
  while sleep $((lease / 5)); do
    told=$(call "jobs/$id/heartbeat" -H "$token")
    case $? in 22) break ;; 0) [[ $told == *'"cancel":null'* ]] || break ;; esac
  done
  touch "$files/cancelled" && kill -- -"$1"
}

end() { # waits for a process to its end, whatever signals come
  while wait "$1"; status=$?; kill -0 "$1" 2>/dev/null; do :; done
  return $status
}

while [[ -z $stopping ]]; do
  json claim "{\"worker\":\"$name\",\"types\":[\"$type\"],\"lease\":$lease,\"wait\":20}" >"$files/answer" &
  if ! wait $!; then [[ -n $stopping ]] && kill -- -$! || sleep 1; continue; fi
  answer=$(<"$files/answer")
  [[ $(member directive "$answer") == stop ]] && stopping=yes
  id=$(member id "$answer") || continue
  token="Lease-Token: $(member lease_token "$answer")"
  work "$answer" >"$files/output" 2>"$files/error" & job=$!
  heartbeats $job & beats=$!
  if end $job; then
    call "jobs/$id/complete" -H "$token" -H 'Content-Type: application/json' --data-binary "@$files/output"
  elif [[ -e $files/cancelled ]]; then
    json settle "{\"worker\":\"$name\",\"jobs\":[{\"id\":\"$id\",\"lease_token\":\"${token#*: }\",\"outcome\":\"cancelled\"}]}"
  else
    call "jobs/$id/fail" -H "$token" -H 'Content-Type: text/plain' --data-binary "@$files/error"
  fi
  kill -- -$beats 2>/dev/null
  rm -f "$files/cancelled"
done >&2
