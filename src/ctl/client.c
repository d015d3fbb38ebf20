/*
 * client.c: see client.h.
 */
#include "config.h"

#include "ctl/client.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "net/endpoint.h"

#include "base/poison.h"

enum {
	CLIENT_CONNECT_MS = 2000,
	CLIENT_ALL_MS = 8000,
	CLIENT_URL_MAX = 512,
	CLIENT_TEXT_MAX = 1024
};

static size_t gather(char *at, size_t size, size_t n, void *arg)
{
	struct client_answer *answer = arg;
	size_t more = size * n;
	char *grown;

	if (more > CLIENT_BODY_MAX - answer->len)
		return 0; /* curl gives up */
	grown = realloc(answer->body, answer->len + more + 1);
	if (grown == NULL)
		return 0;
	memcpy(grown + answer->len, at, more);
	answer->body = grown;
	answer->len += more;
	grown[answer->len] = '\0';
	return more;
}

/* The path of a Unix socket, or NULL: HOST:PORT. */
static const char *socket_path(const char *target)
{
	if (strncmp(target, "unix:", 5) == 0)
		return target + 5;
	return strchr(target, '/') != NULL ? target : NULL;
}

static int check_target(const char *target, char *why, size_t size)
{
	char host[256];
	uint16_t port;

	if (socket_path(target) != NULL)
		return 0;
	if (endpoint_split(target, host, sizeof host, &port) != 0 || port == 0) {
		snprintf(why, size, "\"%s\" is neither HOST:PORT nor the path of a socket", target);
		return -1;
	}
	for (const char *c = host; *c != '\0'; c++) {
		if (isalnum((unsigned char)*c) || strchr(".-:_", *c) != NULL)
			continue;
		snprintf(why, size, "\"%s\" has a character that no host name has", target);
		return -1;
	}
	return 0;
}

static void explain(const char *target, CURLcode code, const char *detail, char *why, size_t size)
{
	const char *path = socket_path(target);
	struct stat st;

	if (path != NULL && stat(path, &st) != 0)
		snprintf(why, size,
		    "%s is not there: does the daemon run, and is admin.socket "
		    "another one?",
		    path);
	else if (path != NULL && code == CURLE_COULDNT_CONNECT)
		snprintf(why, size,
		    "%s cannot be connected to: nobody listens there any more, or you are neither "
		    "root nor the daemon's user",
		    path);
	else if (code == CURLE_OPERATION_TIMEDOUT)
		snprintf(why, size, "%s did not answer in time", target);
	else if (code == CURLE_WRITE_ERROR)
		snprintf(why, size, "%s gave an answer that is too long", target);
	else
		snprintf(why, size, "%s: %s", target,
		    *detail != '\0' ? detail : curl_easy_strerror(code));
}

static CURL *prepare(const char *target, const char *path, char *detail)
{
	const char *local = socket_path(target);
	char url[CLIENT_URL_MAX];
	CURL *curl = curl_easy_init();

	if (curl == NULL)
		return NULL;
	snprintf(url, sizeof url, "http://%s%s", local != NULL ? "localhost" : target, path);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CLIENT_CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)CLIENT_ALL_MS);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "sslgwctl/" PACKAGE_VERSION);
	if (local != NULL)
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, local);
	return curl;
}

/* post: what to send, or NULL for a GET. */
static int ask(const char *target, const char *path, const char *post, struct client_answer *answer,
    char *why, size_t size)
{
	char detail[CURL_ERROR_SIZE] = "";
	struct curl_slist *fields = NULL;
	CURLcode code;
	CURL *curl;

	*answer = (struct client_answer){ 0 };
	if (check_target(target, why, size) != 0)
		return -1;
	answer->body = calloc(1, 1);
	curl = prepare(target, path, detail);
	if (curl == NULL || answer->body == NULL) {
		snprintf(why, size, "out of memory");
		curl_easy_cleanup(curl);
		client_answer_clear(answer);
		return -1;
	}
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, gather);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	if (post != NULL) {
		fields = curl_slist_append(NULL, "Content-Type: text/plain");
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, post);
	}
	code = curl_easy_perform(curl);
	if (code == CURLE_OK)
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->code);
	else
		explain(target, code, detail, why, size);
	curl_easy_cleanup(curl);
	curl_slist_free_all(fields);
	if (code == CURLE_OK)
		return 0;
	client_answer_clear(answer);
	return -1;
}

int client_get(
    const char *target, const char *path, struct client_answer *answer, char *why, size_t size)
{
	return ask(target, path, NULL, answer, why, size);
}

int client_command(const char *target, int argc, char *const argv[], struct client_answer *answer,
    char *why, size_t size)
{
	char text[CLIENT_TEXT_MAX] = "";

	*answer = (struct client_answer){ 0 };
	if (socket_path(target) == NULL) {
		snprintf(why, size,
		    "commands are taken by a Unix socket only: name the daemon's admin.socket, not "
		    "%s",
		    target);
		return -1;
	}
	for (int i = 0; i < argc; i++) {
		if (i > 0)
			strlcat(text, "\n", sizeof text);
		if (strchr(argv[i], '\n') != NULL ||
		    strlcat(text, argv[i], sizeof text) >= sizeof text) {
			snprintf(why, size, "the command is too long, or has a line's end in it");
			return -1;
		}
	}
	return ask(target, "/command", text, answer, why, size);
}

void client_answer_clear(struct client_answer *answer)
{
	free(answer->body);
	*answer = (struct client_answer){ 0 };
}

size_t client_sockets(const char *found[static CLIENT_SOCKETS_MAX])
{
	static const char *const usual[CLIENT_SOCKETS_MAX] = { RUNDIR "/admin.sock",
		RUNDIR "-keysvc/admin.sock", RUNDIR "-cachesvc/admin.sock" };
	struct stat st;
	size_t n = 0;

	for (size_t i = 0; i < CLIENT_SOCKETS_MAX; i++)
		if (stat(usual[i], &st) == 0 && S_ISSOCK(st.st_mode))
			found[n++] = usual[i];
	return n;
}
