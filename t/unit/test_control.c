/* test_control.c: the embedded key service as its master speaks to it; and its configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/pem.h>

#include <cmocka.h>

#include "base/log.h"
#include "keysvc/control.h"
#include "proc/channel.h"

#include "base/poison.h"

enum { HEARD_MAX = 32 };

struct fixture {
	struct loop *loop;
	struct policy policy;
	struct epochs *epochs;
	struct keysvc *svc;
	struct control *control;
	struct channel *master;
	char heard[HEARD_MAX][4096]; /* what the master was told, not yet looked at */
	unsigned heard_n, read_n;
};

static void on_message(void *arg, char *text, int *fds, int fds_n)
{
	struct fixture *f = arg;

	(void)fds;
	assert_int_equal(fds_n, 0);
	assert_true(f->heard_n < HEARD_MAX);
	snprintf(f->heard[f->heard_n++], sizeof(f->heard[0]), "%s", text);
}

static void on_closed(void *arg)
{
	(void)arg;
}

static const char *hear(struct fixture *f)
{
	while (f->read_n == f->heard_n)
		assert_int_equal(loop_turn(f->loop), 0);
	return f->heard[f->read_n++];
}

static void hear_begin(struct fixture *f, const char *begin)
{
	const char *text = hear(f);

	if (strncmp(text, begin, strlen(begin)) != 0)
		fail_msg("\"%s\" does not begin with \"%s\"", text, begin);
}

static struct keysvc_conf *conf_of(const char *text, bool embedded, char *why, size_t size)
{
	struct conf_errors *errors = conf_errors_new();
	struct conf_text *t = conf_text_of("k.conf", text, strlen(text));
	struct keysvc_conf *conf = keysvc_conf_new(t, embedded, errors);

	why[0] = '\0';
	for (size_t i = 0; i < conf_errors_n(errors); i++)
		snprintf(why + strlen(why), size - strlen(why), "%s\n", conf_errors_at(errors, i));
	assert_int_equal(conf == NULL, conf_errors_n(errors) > 0);
	conf_text_free(t);
	conf_errors_free(errors);
	return conf;
}

static int setup(void **state)
{
	static const struct channel_events events = { .message = on_message, .closed = on_closed };
	struct fixture *f = calloc(1, sizeof(*f));
	struct epochs_params epochs = { .path = NULL, .period = 3600, .lifetime_s = 7 * 86400 };
	struct keysvc_params params = { .threads = 1,
		.slow_threads = 1,
		.queue_max = 8,
		.conns_max = 4,
		.deadline_ms = 20000 };
	char why[1000];
	struct keysvc_conf *conf = conf_of(
	    "tls12_any = [ \"old site.pem\" ];", true, why, sizeof(why));
	int fds[2];

	assert_string_equal(why, "");
	f->loop = loop_new();
	params.policy = &f->policy;
	params.epochs = f->epochs = epochs_new(f->loop, &epochs);
	f->svc = keysvc_new(f->loop, &params);
	control_policy(&f->policy, conf);
	assert_int_equal(
	    f->policy.grants, GRANT_TLS_SIGN | GRANT_EPOCH_KEYS | GRANT_KEYS | GRANT_CHAINS);
	assert_int_equal(channel_pair(fds), 0);
	f->master = channel_new(f->loop, fds[0], &events, f);
	f->control = control_new(f->loop, fds[1], f->svc, conf, &f->policy);
	assert_non_null(f->control);
	assert_string_equal(hear(f), "ready");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	control_free(f->control);
	if (f->master != NULL)
		channel_free(f->master);
	keysvc_free(f->svc);
	epochs_free(f->epochs);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void tell(struct fixture *f, int fd, const char *text)
{
	assert_int_equal(channel_send(f->master, &fd, fd == -1 ? 0 : 1, "%s", text), 0);
}

static int memfile(const char *text, size_t len)
{
	int fd = memfd_create("k", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, len), len);
	return fd;
}

static int key_fd(EVP_PKEY *pkey)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data;
	long len;
	int fd;

	assert_true(PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL));
	len = BIO_get_mem_data(bio, &data);
	fd = memfile(data, (size_t)len);
	BIO_free(bio);
	return fd;
}

static void give_key(struct fixture *f, EVP_PKEY *pkey, const char *name, const char *type)
{
	uint8_t ski[20];
	char text[300], want[300], hex[41];
	int fd = key_fd(pkey);

	assert_int_equal(key_ski(pkey, ski), 0);
	for (int i = 0; i < 20; i++)
		snprintf(hex + 2 * i, 3, "%02x", ski[i]);
	snprintf(text, sizeof(text), "key %s", name);
	snprintf(want, sizeof(want), "key %s ok %s %s", name, hex, type);
	tell(f, fd, text);
	close(fd);
	assert_string_equal(hear(f), want);
}

static void come_into_force(struct fixture *f)
{
	tell(f, -1, "keys-done");
	assert_string_equal(hear(f), "keys-done ok");
}

static const struct key *key_of(struct fixture *f, EVP_PKEY *pkey)
{
	uint8_t ski[20];

	assert_int_equal(key_ski(pkey, ski), 0);
	return keystore_find(keysvc_keys(f->svc), ski);
}

static void keys_come_into_force_together(void **state)
{
	struct fixture *f = *state;
	EVP_PKEY *a = EVP_EC_gen("P-256"), *b = EVP_RSA_gen(2048), *c = EVP_EC_gen("P-384");

	give_key(f, a, "/keys/a.pem", "P-256");
	give_key(f, b, "/keys/old site.pem", "RSA"); /* tls12_any names it without its folder */
	give_key(f, a, "/keys/copy.pem", "P-256");
	assert_int_equal(keystore_n(keysvc_keys(f->svc)), 0);
	come_into_force(f);
	assert_int_equal(keystore_n(keysvc_keys(f->svc)), 2);
	for (size_t i = 0; i < 2; i++) {
		const struct key *key = keystore_at(keysvc_keys(f->svc), i);

		assert_int_equal(key->tls12, key->type == KEY_RSA ? TLS12_ANY : TLS12_SENTINEL);
	}
	/* A reload: a new set, whole. */
	give_key(f, b, "old site.pem", "RSA");
	come_into_force(f);
	/* What only the former had is found until it may be forgotten. */
	assert_int_equal(keystore_n(keysvc_keys(f->svc)), 2);
	assert_int_equal(keysvc_forget_keys(f->svc, 5000), 0);
	keysvc_leave_keys(f->svc, 5000);
	assert_int_equal(keysvc_forget_keys(f->svc, 4999), 5000);
	assert_int_equal(keystore_n(keysvc_keys(f->svc)), 2);
	assert_int_equal(keysvc_forget_keys(f->svc, 5000), 0);
	assert_int_equal(keystore_n(keysvc_keys(f->svc)), 1);
	assert_int_equal(keystore_at(keysvc_keys(f->svc), 0)->tls12, TLS12_ANY);
	give_key(f, a, "/keys/a.pem", "P-256");
	come_into_force(f);
	assert_int_equal(keystore_n(keysvc_keys(f->svc)), 2);
	keysvc_leave_keys(f->svc, 5500);
	assert_int_equal(keysvc_forget_keys(f->svc, 5500), 0);
	assert_int_equal(keystore_at(keysvc_keys(f->svc), 0)->type, KEY_P256);
	/* Each has its own time, and a further set does not change it. */
	give_key(f, b, "/keys/old site.pem", "RSA");
	come_into_force(f);
	keysvc_leave_keys(f->svc, 6000);
	give_key(f, c, "/keys/c.pem", "P-384");
	come_into_force(f);
	keysvc_leave_keys(f->svc, 7000);
	assert_int_equal(keystore_n(keysvc_keys(f->svc)), 3);
	assert_int_equal(keysvc_forget_keys(f->svc, 6000), 7000);
	assert_null(key_of(f, a));
	assert_non_null(key_of(f, b));
	assert_int_equal(keysvc_forget_keys(f->svc, 7000), 0);
	assert_null(key_of(f, b));
	assert_int_equal(keystore_at(keysvc_keys(f->svc), 0)->type, KEY_P384);
	/* What may sign any TLS 1.2 stays so when it is read again by another name, until nobody has the former. */
	give_key(f, b, "old site.pem", "RSA");
	come_into_force(f);
	give_key(f, b, "new site.pem", "RSA");
	come_into_force(f);
	assert_int_equal(key_of(f, b)->tls12, TLS12_ANY);
	EVP_PKEY_free(c);
	EVP_PKEY_free(a), EVP_PKEY_free(b);
}

static void bad_key_is_told_and_the_rest_is_good(void **state)
{
	static const char broken[] =
	    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
	struct fixture *f = *state;
	EVP_PKEY *a = EVP_EC_gen("P-256"), *b = EVP_EC_gen("P-384");
	int fd = memfile(broken, strlen(broken)), other = memfile("hello\n", 6);
	uint8_t ski[20];

	give_key(f, a, "a", "P-256");
	come_into_force(f);
	give_key(f, b, "b", "P-384");
	tell(f, fd, "key /k/broken file.pem");
	hear_begin(f, "key /k/broken file.pem error the private key is damaged");
	tell(f, -1, "key nothing");
	assert_string_equal(hear(f), "key nothing error no descriptor came with it");
	assert_int_equal(key_ski(b, ski), 0);
	assert_null(keystore_find(keysvc_keys(f->svc), ski));
	/* The master thinks better of it: the next try begins afresh. */
	tell(f, -1, "keys-begin 7");
	assert_string_equal(hear(f), "keys-begun 7");
	tell(f, other, "key README");
	hear_begin(f, "key README error holds no private key");
	come_into_force(f);
	assert_null(keystore_find(keysvc_keys(f->svc), ski));
	/* Or it takes what there is. */
	tell(f, fd, "key /k/broken file.pem");
	hear_begin(f, "key /k/broken file.pem error the private key is damaged");
	give_key(f, b, "b", "P-384");
	come_into_force(f);
	assert_non_null(keystore_find(keysvc_keys(f->svc), ski));
	close(fd), close(other);
	EVP_PKEY_free(a), EVP_PKEY_free(b);
}

static struct cert_chain *selfsigned(struct fixture *f, const char *names)
{
	char text[200], why[200];
	struct cert_chain *chain;
	const char *pem;

	snprintf(text, sizeof(text), "selfsigned %s", names);
	tell(f, -1, text);
	pem = hear(f);
	assert_ptr_equal(strstr(pem, "selfsigned -----BEGIN CERTIFICATE-----\n"), pem);
	chain = cert_chain_parse(bytes_str(pem + strlen("selfsigned ")), "c", why, sizeof(why));
	assert_non_null(chain);
	come_into_force(f);
	assert_non_null(keystore_find(keysvc_keys(f->svc), chain->ski));
	return chain;
}

static void selfsigned_pair_outlives_a_reload(void **state)
{
	struct fixture *f = *state;
	struct cert_chain *a = selfsigned(f, "localhost 127.0.0.1"),
			  *b = selfsigned(f, "localhost 127.0.0.1"),
			  *c = selfsigned(f, "other.example");

	assert_true(
	    cert_matches_host(a->leaf, "localhost") && cert_matches_host(a->leaf, "127.0.0.1"));
	assert_memory_equal(a->ski, b->ski, 20);
	assert_memory_not_equal(a->ski, c->ski, 20);
	cert_chain_free(a), cert_chain_free(b), cert_chain_free(c);
	tell(f, -1, "selfsigned  ");
	hear_begin(f, "selfsigned error for: ");
}

static void reload_takes_a_whole_configuration_or_none(void **state)
{
	static const char good[] =
	    "allow = [ \"keys\" ]; caller_users = [ \"4242\" ]; tls12 = \"off\";\n";
	static const char bad[] = "allow = [ \"keys\" ];\ncaller_users = [ \"no such user\" ];\n";
	struct fixture *f = *state;
	EVP_PKEY *a = EVP_EC_gen("P-256"), *b = EVP_EC_gen("P-384");
	int fd = memfile(bad, strlen(bad));

	tell(f, fd, "reload");
	assert_non_null(strstr(hear(f), "failed "));
	assert_int_equal(
	    f->policy.grants, GRANT_TLS_SIGN | GRANT_EPOCH_KEYS | GRANT_KEYS | GRANT_CHAINS);
	close(fd);
	fd = memfile(good, strlen(good));
	give_key(f, b, "b", "P-384");
	come_into_force(f);
	assert_int_equal(keystore_at(keysvc_keys(f->svc), 0)->tls12, TLS12_SENTINEL);
	tell(f, fd, "reload");
	close(fd);
	give_key(f, a, "a", "P-256");
	assert_int_equal(keystore_at(keysvc_keys(f->svc), 0)->tls12, TLS12_OFF); /* one in force */
	assert_int_equal(f->policy.grants, GRANT_KEYS);
	assert_int_equal(f->policy.uids_n, 1);
	assert_int_equal(f->policy.uids[0], 4242);
	come_into_force(f);
	assert_int_equal(keystore_at(keysvc_keys(f->svc), 0)->tls12, TLS12_OFF);
	EVP_PKEY_free(a), EVP_PKEY_free(b);
}

static void unknown_words_are_survived(void **state)
{
	static const char *const words[] = { "hello", "key", "selfsigned", "reload", "keys-done2",
		"reopen" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		tell(f, -1, words[i]);
	come_into_force(f);
}

static void drain_is_answered_and_ends(void **state)
{
	struct fixture *f = *state;

	tell(f, -1, "drain");
	assert_int_equal(loop_run(f->loop), 0);
	assert_string_equal(hear(f), "drained");
}

static void end_of_the_master_is_the_end(void **state)
{
	struct fixture *f = *state;

	channel_free(f->master);
	f->master = NULL;
	assert_int_equal(loop_run(f->loop), 0);
}

/* ---- configuration */

static void configuration_is_checked(void **state)
{
	static const struct {
		const char *text, *part;
		bool embedded;
	} cases[] = {
		{ "", "listen", false },
		{ "listen = [ \"127.0.0.1:2407\" ];\nkeys = [ \"k\" ];", "k.conf:1: ", false },
		{ "listen = [ \"unix:/s\" ];", "keys", false },
		{ "\nepoch_period = \"50m\";", "k.conf:2: ", true },
		{ "epoch_period = \"2h\";", "epoch_period", true },
		{ "epoch_period = \"1500s\";", "divide", true },
		{ "user = \"no-such-user\";", "no-such-user", true },
		{ "group = \"no-such-group\";", "no-such-group", true },
		{ "caller_users = [ \"no-such-user\" ];", "no-such-user", true },
		{ "threads = 65;", "threads", true },
		{ "allow = [ \"everything\" ];", "everything", true },
		{ "tls12 = \"maybe\";", "tls12", true },
		{ "deadline = \"0ms\";", "deadline", true },
		{ "thread = 1;", "threads", true }, /* the nearest known name */
	};
	char why[1000];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_null(conf_of(cases[i].text, cases[i].embedded, why, sizeof(why)));
		if (strstr(why, cases[i].part) == NULL)
			fail_msg("case %zu: \"%s\" lacks \"%s\"", i, why, cases[i].part);
	}
}

static void defaults_are_the_documented_ones(void **state)
{
	char why[1000];
	struct keysvc_conf *conf = conf_of("", true, why, sizeof(why));

	(void)state;
	assert_non_null(conf);
	assert_int_equal(conf->threads, 1);
	assert_int_equal(conf->deadline, 250);
	assert_int_equal(conf->epoch_period, 3600000);
	assert_int_equal(conf->generation_lifetime, UINT64_C(7) * 86400000);
	assert_int_equal(conf->tls12, TLS12_SENTINEL);
	assert_null(conf->cluster_secret_file);
	keysvc_conf_free(conf);
	conf = conf_of("listen = [ \"unix:/run/s\" ]; keys = [ \"/k\" ];", false, why, sizeof(why));
	assert_non_null(conf);
	keysvc_conf_free(conf);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(keys_come_into_force_together),
		T(bad_key_is_told_and_the_rest_is_good),
		T(selfsigned_pair_outlives_a_reload),
		T(reload_takes_a_whole_configuration_or_none),
		T(unknown_words_are_survived),
		T(drain_is_answered_and_ends),
		T(end_of_the_master_is_the_end),
		cmocka_unit_test(configuration_is_checked),
		cmocka_unit_test(defaults_are_the_documented_ones),
	};

	log_init("test_control");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
