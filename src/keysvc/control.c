/*
 * control.c: the master's messages, one function each. The set of keys being made is next; the one in
 * force belongs to keysvc.
 */
#include "keysvc/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/log.h"
#include "crypto/mkcert.h"
#include "keysvc/keyop.h"
#include "keysvc/pemkeys.h"
#include "proc/channel.h"
#include "proc/privileges.h"

#include "base/poison.h"

enum {
	SELFSIGNED_DAYS = 365,
	CONTROL_FORGET_MS = 60 * 1000, /* longer than any handshake is waited for */
};

struct control {
	struct loop *loop;
	struct channel *channel;
	struct keysvc *svc;
	struct keysvc_conf *conf;
	struct policy *policy;
	struct keyop *op; /* for the self-test */
	struct keystore *next; /* the set being made; NULL: none */
	struct deadline forget; /* what is left of former sets, or keys are to be as configured */
	uint64_t
	    exact_ms; /* when those in force sign no other TLS 1.2 than configured; 0: not yet known */
	char *selfsigned_names; /* the pair that a reload with the same names gets again */
	char *selfsigned_pem;
	struct key *selfsigned_key;
};

/* ---- configuration */

bool control_names_file(const char *entry, const char *name)
{
	const char *slash = strrchr(name, '/');

	return strcmp(entry, name) == 0 || (slash != NULL && strcmp(entry, slash + 1) == 0);
}

enum tls12_mode control_tls12(const struct keysvc_conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->tls12_any.n; i++)
		if (control_names_file(conf->tls12_any.at[i], name))
			return TLS12_ANY;
	return (enum tls12_mode)conf->tls12;
}

void control_policy(struct policy *policy, const struct keysvc_conf *conf)
{
	policy->grants = conf->allow;
	policy->uids_n = 0;
	for (size_t i = 0; i < conf->caller_users.n && policy->uids_n < POLICY_UIDS_MAX; i++) {
		if (privileges_user(
			conf->caller_users.at[i], &policy->uids[policy->uids_n], NULL) == 0)
			policy->uids_n++;
	}
}

/* Keys that are in force already follow the new configuration too. Those of the former set are what they were; and what
 * signed any TLS 1.2 does so until keys-forget, since workers without TLS 1.3 may not have been replaced. */
static void apply_tls12(const struct control *control, const struct keystore *keys, bool forget)
{
	for (size_t i = 0; keys != NULL && i < keystore_n(keys); i++) {
		struct key *key = keystore_at(keys, i);

		if (!key->leaving && (key->tls12 != TLS12_ANY || forget))
			key->tls12 = control_tls12(control->conf, key->name);
	}
}

static void take_conf(struct control *control, int fd)
{
	struct conf_errors *errors = conf_errors_new();
	struct conf_text *text = NULL;
	struct keysvc_conf *conf = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (errors != NULL && (text = conf_text_read(path, errors)) != NULL)
		conf = keysvc_conf_new(text, true, errors);
	if (conf == NULL) {
		const char *why = errors != NULL && conf_errors_n(errors) > 0
				      ? conf_errors_at(errors, 0)
				      : "no memory";

		log_errorx("the new configuration is not taken: %s", why);
		channel_send(control->channel, NULL, 0, "failed %s", why);
	} else {
		keysvc_conf_free(control->conf);
		control->conf = conf;
		control_policy(control->policy, conf);
		apply_tls12(control, keysvc_keys(control->svc), false);
		apply_tls12(control, control->next, false);
	}
	conf_text_free(text);
	conf_errors_free(errors);
}

/* ---- keys */

static struct keystore *next_set(struct control *control)
{
	if (control->next == NULL)
		control->next = keystore_new();
	return control->next;
}

static struct key *read_key(
    struct control *control, const char *name, int fd, char *why, size_t size)
{
	struct key *key = pemkeys_read(fd, name, why, size);

	if (key == NULL)
		return NULL;
	key->tls12 = control_tls12(control->conf, name);
	if (keyop_self_test(control->op, key) == 0)
		return key;
	snprintf(why, size,
	    "the self-test failed: the file's private and public half do not belong together");
	key_unref(key);
	return NULL;
}

static void take_key(struct control *control, const char *name, int fd)
{
	struct keystore *set = next_set(control);
	char why[512] = "no descriptor came with it", ski[2 * CERT_SKI_LEN + 1];
	struct key *key = fd == -1 ? NULL : read_key(control, name, fd, why, sizeof(why));
	const char *type;

	if (key == NULL || set == NULL) {
		key_unref(key);
		channel_send(control->channel, NULL, 0, "key %s error %s", name,
		    set == NULL ? "out of memory" : why);
		return;
	}
	hex_write(ski, key->ski, sizeof(key->ski));
	type = key_type_name(key->type);
	if (keystore_add(set, key) == -1) {
		channel_send(control->channel, NULL, 0,
		    "key %s error too many keys, or out of memory", name);
		return;
	}
	channel_send(control->channel, NULL, 0, "key %s ok %s %s", name, ski, type);
}

static void keys_begin(struct control *control, const char *pass)
{
	keystore_free(control->next);
	control->next = NULL;
	channel_send(control->channel, NULL, 0, "keys-begun %s", pass);
}

static void forget_cb(struct deadline *deadline)
{
	struct control *control = CONTAINER_OF(deadline, struct control, forget);
	uint64_t now = loop_now_ms(control->loop);
	uint64_t next = keysvc_forget_keys(control->svc, now);

	if (control->exact_ms != 0 && control->exact_ms <= now) {
		control->exact_ms = 0;
		apply_tls12(control, keysvc_keys(control->svc), true);
	}
	if (next == 0 || (control->exact_ms != 0 && control->exact_ms < next))
		next = control->exact_ms;
	if (next != 0)
		deadline_set(control->loop, &control->forget, next - now, forget_cb);
}

static void keys_forget(struct control *control)
{
	control->exact_ms = loop_now_ms(control->loop) + CONTROL_FORGET_MS;
	keysvc_leave_keys(control->svc, control->exact_ms);
	if (!deadline_is_set(&control->forget))
		deadline_set(control->loop, &control->forget, CONTROL_FORGET_MS, forget_cb);
}

/* What signs any TLS 1.2 goes on, read again or not, until keys-forget. */
static void keep_tls12(struct keystore *set, const struct keystore *former)
{
	for (size_t i = 0; i < keystore_n(set); i++) {
		struct key *key = keystore_at(set, i);
		const struct key *was = keystore_find(former, key->ski);

		if (was != NULL && was->tls12 == TLS12_ANY)
			key->tls12 = TLS12_ANY;
	}
}

static void keys_done(struct control *control)
{
	struct keystore *set = next_set(control);

	control->next = NULL;
	if (set == NULL) {
		channel_send(control->channel, NULL, 0, "keys-done error out of memory");
		return;
	}
	keystore_seal(set);
	keep_tls12(set, keysvc_keys(control->svc));
	control->exact_ms = 0;
	log_info("%zu keys are in force", keystore_n(set));
	if (keystore_keep(set, keysvc_keys(control->svc)) == -1)
		log_warnx("not all former keys could be kept: full handshakes with their "
			  "certificates fail");
	keysvc_set_keys(control->svc, set);
	channel_send(control->channel, NULL, 0, "keys-done ok");
}

/* ---- the self-signed pair */

static void forget_selfsigned(struct control *control)
{
	free(control->selfsigned_names);
	free(control->selfsigned_pem);
	key_unref(control->selfsigned_key);
	control->selfsigned_names = control->selfsigned_pem = NULL;
	control->selfsigned_key = NULL;
}

static int make_selfsigned(struct control *control, const char *text)
{
	const char *names[MKCERT_NAMES_MAX];
	char *copy = strdup(text), *rest = copy, *word, why[256];
	EVP_PKEY *pkey = NULL;
	X509 *cert = NULL;
	size_t n = 0;

	while (copy != NULL && n < MKCERT_NAMES_MAX && (word = strsep(&rest, " ")) != NULL) {
		if (*word != '\0')
			names[n++] = word;
	}
	if (copy != NULL && mkcert(names, n, SELFSIGNED_DAYS, &pkey, &cert) == 0) {
		control->selfsigned_names = strdup(text);
		control->selfsigned_pem = mkcert_pem(cert);
		control->selfsigned_key = key_new(pkey, "self-signed", why, sizeof(why));
	}
	X509_free(cert);
	free(copy);
	if (control->selfsigned_names != NULL && control->selfsigned_pem != NULL &&
	    control->selfsigned_key != NULL)
		return 0;
	forget_selfsigned(control);
	return -1;
}

static void selfsigned(struct control *control, const char *text)
{
	struct keystore *set = next_set(control);

	if (control->selfsigned_names != NULL && strcmp(control->selfsigned_names, text) != 0)
		forget_selfsigned(control);
	if (set == NULL ||
	    (control->selfsigned_names == NULL && make_selfsigned(control, text) == -1) ||
	    keystore_add(set, key_ref(control->selfsigned_key)) == -1) {
		channel_send(control->channel, NULL, 0, "selfsigned error for: %s", text);
		return;
	}
	control->selfsigned_key->tls12 = control_tls12(control->conf, "self-signed");
	channel_send(control->channel, NULL, 0, "selfsigned %s", control->selfsigned_pem);
}

/* ---- messages */

static void on_drained(void *arg)
{
	struct control *control = arg;

	channel_send(control->channel, NULL, 0, "drained");
	loop_stop(control->loop);
}

static void on_message(void *arg, char *text, int *fds, int fds_n)
{
	struct control *control = arg;
	char *rest = text, *word = strsep(&rest, " ");
	int fd = fds_n > 0 ? fds[0] : -1;

	if (strcmp(word, "keys-begin") == 0 && rest != NULL)
		keys_begin(control, rest);
	else if (strcmp(word, "key") == 0 && rest != NULL)
		take_key(control, rest, fd);
	else if (strcmp(word, "keys-done") == 0)
		keys_done(control);
	else if (strcmp(word, "keys-forget") == 0)
		keys_forget(control);
	else if (strcmp(word, "selfsigned") == 0 && rest != NULL)
		selfsigned(control, rest);
	else if (strcmp(word, "reload") == 0 && fd != -1)
		take_conf(control, fd);
	else if (strcmp(word, "reopen") == 0)
		audit_log(keysvc_audit(control->svc));
	else if (strcmp(word, "drain") == 0)
		keysvc_drain(control->svc, on_drained, control);
	else if (strcmp(word, "stop") == 0)
		loop_stop(control->loop);
	else
		log_warnx("the master said \"%s\", which means nothing here", word);
	for (int i = 0; i < fds_n; i++)
		close(fds[i]);
}

/* The master died: without it nobody watches the workers, and a new one starts its own key service. */
static void on_closed(void *arg)
{
	struct control *control = arg;

	channel_free(control->channel);
	control->channel = NULL;
	loop_stop(control->loop);
}

static const struct channel_events events = { .message = on_message, .closed = on_closed };

struct control *control_new(
    struct loop *loop, int fd, struct keysvc *svc, struct keysvc_conf *conf, struct policy *policy)
{
	struct control *control = calloc(1, sizeof(*control));

	if (control == NULL) {
		keysvc_conf_free(conf);
		close(fd);
		return NULL;
	}
	control->loop = loop;
	control->svc = svc;
	control->conf = conf;
	control->policy = policy;
	control->op = keyop_new(KEYOP_NO_SLOT);
	control->channel = channel_new(loop, fd, &events, control);
	if (control->op == NULL || control->channel == NULL) {
		control_free(control);
		return NULL;
	}
	channel_send(control->channel, NULL, 0, "ready");
	return control;
}

void control_free(struct control *control)
{
	if (control == NULL)
		return;
	if (control->channel != NULL)
		channel_free(control->channel);
	forget_selfsigned(control);
	deadline_clear(control->loop, &control->forget);
	keystore_free(control->next);
	keyop_free(control->op);
	keysvc_conf_free(control->conf);
	free(control);
}
