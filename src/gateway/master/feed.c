/*
 * feed.c: see feed.h. Answers come in the order of the questions, and each bears the file's name, so
 * that a name with spaces needs no quoting.
 */
#include "gateway/master/feed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/log.h"
#include "proc/channel.h"

#include "base/poison.h"

enum { FEED_NAMES_MAX = 1024 };

void feed_clear(struct feed *f)
{
	for (size_t i = 0; f->keys != NULL && i < f->n; i++) {
		free(f->keys[i].name);
		free(f->keys[i].error);
	}
	free(f->keys);
	free(f->pem);
	f->keys = NULL;
	f->pem = NULL;
	f->plan = NULL;
	f->begun = false;
	f->sent = f->answered = 0;
	if (f->loop != NULL)
		loop_later_cancel(&f->done);
}

/* What was read is handed on to the callback's time, so that it may begin another pass. */
static void done_cb(struct later *later)
{
	struct feed *f = CONTAINER_OF(later, struct feed, done), over = *f;

	f->keys = NULL;
	f->pem = NULL;
	f->plan = NULL;
	over.loop = NULL;
	over.fed(over.arg, over.error, over.keys, over.error == NULL ? over.n : 0, over.pem);
	feed_clear(&over);
}

static void finish(struct feed *f, const char *error)
{
	if (loop_later_is_queued(&f->done))
		return;
	f->error = error;
	loop_later(f->loop, &f->done, done_cb);
}

/* The quick form names no host: whatever a browser on this machine, or on its network, may call it. */
static void ask_selfsigned(struct feed *f)
{
	const struct gateway_conf *conf = f->plan->conf;
	char text[FEED_NAMES_MAX] = "selfsigned localhost 127.0.0.1 ::1", host[256];
	uint16_t port;

	if (gethostname(host, sizeof host) == 0 && strcmp(host, "localhost") != 0) {
		strlcat(text, " ", sizeof text);
		strlcat(text, host, sizeof text);
	}
	if (endpoint_split(conf->listeners.at[0].address, host, sizeof host, &port) == 0 &&
	    strcmp(host, "*") != 0 && strcmp(host, "127.0.0.1") != 0) {
		strlcat(text, " ", sizeof text);
		strlcat(text, host, sizeof text);
	}
	if (channel_send(f->channel, NULL, 0, "%s", text) != 0)
		finish(f, "the key service does not answer");
}

static void answer_here(struct plan_key *key, const char *name, int err)
{
	key->name = strdup(name);
	key->error = strdup(strerror(err));
}

/* A file that cannot be opened is answered here, in its turn. */
static void send_more(struct feed *f)
{
	while (f->sent < f->plan->key_files_n && f->sent - f->answered < FEED_UNDER_WAY) {
		const char *name = f->plan->key_files[f->sent];
		int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc;

		if (fd < 0 && f->sent > f->answered)
			return;
		if (fd < 0) {
			answer_here(&f->keys[f->sent++], name, errno);
			f->answered++;
			continue;
		}
		rc = channel_send(f->channel, &fd, 1, "key %s", name);
		close(fd);
		if (rc != 0) {
			finish(f, "the key service does not answer");
			return;
		}
		f->sent++;
	}
	if (f->answered < f->plan->key_files_n)
		return;
	if (f->plan->conf->selfsigned && f->pem == NULL)
		ask_selfsigned(f);
	else
		finish(f, NULL);
}

void feed_begin(struct feed *f, struct loop *loop, struct channel *channel, const struct plan *plan,
    embedded_fed fed, void *arg)
{
	feed_clear(f);
	f->loop = loop;
	f->fed = fed;
	f->arg = arg;
	f->channel = channel;
	f->plan = plan;
	f->n = plan->key_files_n;
	f->keys = calloc(plan->key_files_n + 1, sizeof *f->keys);
	if (plan->conf->key_service.servers.n > 0) { /* others have the keys */
		finish(f, NULL);
		return;
	}
	if (channel == NULL || f->keys == NULL) {
		finish(f, "the key service is not running");
		return;
	}
	if (channel_send(channel, NULL, 0, "keys-begin %u", ++f->pass) != 0)
		finish(f, "the key service does not answer");
	else
		send_more(f);
}

static void take_key(struct feed *f, const char *text)
{
	struct plan_key *key = &f->keys[f->answered];
	const char *name = f->answered < f->sent ? f->plan->key_files[f->answered] : NULL;
	size_t len = name == NULL ? 0 : strlen(name);

	if (name == NULL || strncmp(text, name, len) != 0 || text[len] != ' ') {
		finish(f, "the key service's answer makes no sense");
		return;
	}
	text += len + 1;
	key->name = strdup(name);
	if (strncmp(text, "ok ", 3) != 0 || strlen(text) < 3 + 2 * CERT_SKI_LEN ||
	    hex_read(key->ski, CERT_SKI_LEN, text + 3) != 0)
		key->error = strdup(strncmp(text, "error ", 6) == 0 ? text + 6 : text);
	f->answered++;
	send_more(f);
}

void feed_message(struct feed *f, char *text)
{
	if (strncmp(text, "keys-done error ", 16) == 0)
		log_errorx("key service: %s: the former keys stay", text + 16);
	if (f->plan == NULL || loop_later_is_queued(&f->done))
		return;
	if (strncmp(text, "keys-begun ", 11) == 0) {
		f->begun = strtoul(text + 11, NULL, 10) == f->pass;
	} else if (!f->begun) {
		return;
	} else if (strncmp(text, "key ", 4) == 0) {
		take_key(f, text + 4);
	} else if (strncmp(text, "selfsigned error ", 17) == 0) {
		finish(f, "the key service cannot make a self-signed certificate");
	} else if (strncmp(text, "selfsigned ", 11) == 0) {
		f->pem = strdup(text + 11);
		finish(f, f->pem == NULL ? "out of memory" : NULL);
	}
}

void feed_lost(struct feed *f, const char *why)
{
	f->channel = NULL;
	if (f->plan != NULL)
		finish(f, why);
}

void feed_commit(struct feed *f, struct channel *channel)
{
	(void)f;
	if (channel != NULL)
		channel_send(channel, NULL, 0, "keys-done");
}

void feed_discard(struct feed *f, struct channel *channel)
{
	if (channel != NULL)
		channel_send(channel, NULL, 0, "keys-begin %u", ++f->pass);
}
