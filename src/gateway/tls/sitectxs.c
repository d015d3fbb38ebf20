/*
 * sitectxs.c: gateway/tls's part of a worker: all sites' TLS settings, the provider of remote keys,
 * and the fibres of this thread.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/async.h>
#include <openssl/err.h>

#include "base/counters.h"
#include "base/log.h"

#include "gateway/cluster/secrets.h"
#include "gateway/tls/remotekey.h"
#include "gateway/tls/sitectx.h"

#include "base/poison.h"

enum { FIBRES_KEPT = 16 /* fewer are not worth the work of giving them back */ };

#ifdef COUNTER_PROOF
static void choose_fault(struct sitectxs *all)
{
	static const char *const names[] = { [FAULT_OFF] = "",
		[FAULT_LOCAL_KEY] = "local-key",
		[FAULT_NO_SITE_SETTINGS] = "no-site-switch-settings",
		[FAULT_NO_SCOPE] = "no-scope",
		[FAULT_NO_CLAIM] = "no-claim" };
	const char *fault = getenv("SSLGW_FAULT");

	for (int i = FAULT_OFF; fault != NULL && i < FAULTS_N; i++) {
		if (strcmp(fault, names[i]) == 0)
			all->fault = i;
	}
	all->fault_key = getenv("SSLGW_FAULT_KEY");
}
#endif

/* Epoch keys came or went: what was derived from them must not outlive them. */
static void secrets_changed(void *arg)
{
	struct sitectxs *all = arg;

	for (size_t i = 0; i < all->n; i++)
		sitectx_forget_keys(&all->at[i]);
}

struct sitectxs *sitectxs_new(struct worker *w)
{
	struct sitectxs *all = calloc(1, sizeof(*all));

	if (all == NULL)
		return NULL;
	all->worker = w;
	all->fibres = (size_t)w->conf->limits.handshakes + FIBRES_RESERVE;
	all->hash_key = hash_key_random();
	TAILQ_INIT(&all->job_waiters);
	signqueue_init(&all->signers, (size_t)w->conf->limits.handshakes);
#ifdef COUNTER_PROOF
	choose_fault(all);
#endif
	if (remotekey_start() == -1)
		goto fail;
	if (w->conf->session_cache.stores_per_client > 0 &&
	    (all->stores = storelimit_new(w->conf->session_cache.stores_per_client)) == NULL)
		goto fail;
	all->kit = kit_new();
	all->aes_256_cbc = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	all->at = calloc(w->conf->sites.n, sizeof(*all->at));
	if (all->kit == NULL || all->aes_256_cbc == NULL || all->at == NULL ||
	    !ASYNC_init_thread(all->fibres, 0)) {
		log_errorx("cannot prepare TLS: %s", ERR_reason_error_string(ERR_peek_error()));
		goto fail;
	}
	for (; all->n < w->conf->sites.n; all->n++) {
		/* One takes a millisecond, and there may be ten thousand. */
		if (w->beat != NULL)
			counter_set(w->beat, loop_now_ms(w->loop));
		if (sitectx_init(&all->at[all->n], all, sites_at(w->sites, (unsigned)all->n)) ==
		    -1) {
			all->n++;
			goto fail;
		}
	}
	secrets_on_change(w->secrets, secrets_changed, all);
	return all;
fail:
	sitectxs_free(all);
	return NULL;
}

/*
 * libcrypto keeps each fibre that it ever made, with its stack of 32 KiB. Its thread's end and a new
 * beginning is the only way to have them freed without a leak: ASYNC_cleanup_thread() leaves what
 * it had registered for that end, once more each time.
 */
bool sitectxs_give_back(struct sitectxs *all)
{
	if (all->fibres_used > 0 || all->fibres_made < FIBRES_KEPT)
		return false;
	all->fibres_made = 0;
	OPENSSL_thread_stop();
	/* If it fails the first handshake tries again, without the limit. */
	if (!ASYNC_init_thread(all->fibres, 0))
		log_warnx("out of memory: cannot limit the handshakes that wait");
	return true;
}

void sitectxs_free(struct sitectxs *all)
{
	if (all == NULL)
		return;
	secrets_on_change(all->worker->secrets, NULL, NULL);
	loop_later_cancel(&all->signers_later);
	for (size_t i = 0; i < all->n; i++)
		sitectx_clear(&all->at[i]);
	free(all->at);
	ASYNC_cleanup_thread();
	EVP_CIPHER_free(all->aes_256_cbc);
	kit_free(all->kit);
	OPENSSL_cleanse(all->plain, sizeof(all->plain));
	storelimit_free(all->stores);
	free(all);
}
