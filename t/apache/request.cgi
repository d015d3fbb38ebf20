#!/bin/sh
# Reads the body, and prints the request as Apache saw it: its line, then every header, sorted by name.
cat >/dev/null
printf 'Content-Type: text/plain\r\nX-Backend-Port: %s\r\n\r\n' "$SERVER_PORT"
printf '%s %s %s\n' "$REQUEST_METHOD" "$REQUEST_URI" "$SERVER_PROTOCOL"
env | LC_ALL=C sort | while IFS='=' read -r name value; do
	case $name in
	HTTP_*) name=${name#HTTP_} ;;
	CONTENT_LENGTH | CONTENT_TYPE) [ -n "$value" ] || continue ;;
	*) continue ;;
	esac
	printf '%s: %s\n' "$(printf %s "$name" | tr _ -)" "$value"
done
