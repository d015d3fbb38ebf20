/*
 * authority.c: the CA's folder: making, opening, signing. Called by the pki commands and by init.
 * The invariant: a certificate is on record before anybody can have its key, so that it can be denied.
 */
#include "ctl/authority.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/log.h"
#include "crypto/cert.h"
#include "crypto/mkcert.h"
#include "ctl/authority_private.h"

#include "base/poison.h"

enum { CA_DAYS = 3653 };

static const char *const roles[] = { "gateway", "keysvc", "cachesvc", "operator" };

bool authority_role_valid(const char *role)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(roles[i], role) == 0)
			return true;
	return false;
}

/* Names are DNS names, in lower case, and names of files. */
const char *authority_name_wrong(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len >= AUTHORITY_NAME_MAX)
		return "a name has 1 to 253 characters";
	if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != len)
		return "a name has a-z, 0-9, \".\", \"-\" and \"_\" only: write gw1 or "
		       "gw1.example.com";
	if (strchr(".-", name[0]) != NULL || strchr(".-", name[len - 1]) != NULL ||
	    strstr(name, "..") != NULL)
		return "a name begins and ends with a letter or a digit";
	if (strcmp(name, "ca") == 0 || strcmp(name, "deny") == 0 || strcmp(name, "issued") == 0)
		return "this name is taken by a file of the CA's own";
	return NULL;
}

int64_t authority_time(const ASN1_TIME *at)
{
	struct tm tm;

	return at != NULL && ASN1_TIME_to_tm(at, &tm) == 1 ? timegm(&tm) : 0;
}

int authority_spki(X509 *cert, char text[static AUTHORITY_SPKI_TEXT])
{
	EVP_PKEY *key = X509_get0_pubkey(cert);
	uint8_t digest[32];

	if (key == NULL || key_spki_sha256(key, digest) != 0)
		return -1;
	hex_write(text, digest, sizeof(digest));
	return 0;
}

X509 *authority_load(const char *path)
{
	FILE *in = fopen(path, "re");
	X509 *cert;

	if (in == NULL) {
		if (errno != ENOENT)
			log_error("%s", path);
		return NULL;
	}
	cert = PEM_read_X509(in, NULL, NULL, NULL);
	fclose(in);
	if (cert == NULL) {
		log_errorx("%s: holds no certificate (PEM)", path);
		errno = EINVAL;
	}
	ERR_clear_error();
	return cert;
}

int authority_path(
    const struct authority *a, const char *prefix, const char *end, char path[REPLACE_PATH_MAX])
{
	int n = prefix[0] == '/' ? snprintf(path, REPLACE_PATH_MAX, "%s%s", prefix, end)
				 : snprintf(path, REPLACE_PATH_MAX, "%s/%s%s", a->dir, prefix, end);

	if (n < REPLACE_PATH_MAX)
		return 0;
	log_errorx("%s: the path is too long", prefix);
	return -1;
}

/* ---- making and opening */

/* One at a time: a timer renews while an operator denies. The folder itself is what is locked, so no
 * file of a lock's own is left. */
static int lock_folder(struct authority *a, const char *dir)
{
	if (strlcpy(a->dir, dir, sizeof(a->dir)) >= sizeof(a->dir)) {
		log_errorx("%s: the path is too long", dir);
		return -1;
	}
	a->lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->lock < 0) {
		log_error("%s: make it with sslgwctl pki init %s", dir, dir);
		return -1;
	}
	while (flock(a->lock, LOCK_EX) != 0) {
		if (errno == EINTR)
			continue;
		log_error("%s: cannot be locked", dir);
		close(a->lock);
		return -1;
	}
	return 0;
}

/* The key goes first: who reads between the two sees a pair that does not fit, keeps what it had, and
 * is told to read again once both are there. */
static int write_pair(const struct authority *a, const char *prefix, X509 *cert, EVP_PKEY *key,
    const struct replace_mode *mode)
{
	const struct replace_mode public = { 0644, mode->uid, mode->gid };
	char *pem = mkcert_pem(cert), *key_pem = mkcert_key_pem(key);
	char path[REPLACE_PATH_MAX], key_path[REPLACE_PATH_MAX];
	int rc = -1;

	if (pem == NULL || key_pem == NULL)
		log_errorx("no memory");
	else if (authority_path(a, prefix, ".key", key_path) == 0 &&
		 authority_path(a, prefix, ".pem", path) == 0 &&
		 replace_file(key_path, key_pem, mode) == 0 &&
		 replace_file(path, pem, &public) == 0)
		rc = 0;
	if (key_pem != NULL)
		explicit_bzero(key_pem, strlen(key_pem));
	free(key_pem);
	free(pem);
	return rc;
}

static int make_locked(struct authority *a, const char *name, bool force)
{
	const struct replace_mode public = { 0644, (uid_t)-1, (gid_t)-1 };
	const struct replace_mode secret = { 0600, (uid_t)-1, (gid_t)-1 };
	char path[REPLACE_PATH_MAX], cn[64];
	unsigned char id[4];
	EVP_PKEY *key;
	X509 *ca;
	int rc;

	if (authority_path(a, "ca", ".key", path) != 0)
		return -1;
	if (access(path, F_OK) == 0 && !force) {
		log_errorx("%s is there already, and identities that it signed may be in use: name "
			   "another folder, or --force to begin anew",
		    path);
		return -1;
	}
	if (RAND_bytes(id, sizeof(id)) != 1)
		return -1;
	/* Two CAs with one name would be taken for each other. */
	snprintf(cn, sizeof(cn), "%.48s %02x%02x%02x%02x", name, id[0], id[1], id[2], id[3]);
	if (mkcert_ca(cn, (int64_t)CA_DAYS * AUTHORITY_DAY_S, &key, &ca) != 0) {
		log_errorx("cannot make a certificate: no memory");
		return -1;
	}
	rc = write_pair(a, "ca", ca, key, &secret);
	X509_free(ca);
	EVP_PKEY_free(key);
	if (rc == 0 && authority_path(a, "deny", "", path) == 0 && access(path, F_OK) != 0)
		rc = replace_file(path, AUTHORITY_DENY_HEAD, &public);
	return rc == 0 ? authority_save(a) : -1;
}

int authority_make(const char *dir, const char *name, bool force)
{
	struct authority a = { .lock = -1 };
	int rc;

	if (replace_folder(dir, 0700) != 0 || lock_folder(&a, dir) != 0)
		return -1;
	rc = make_locked(&a, name, force);
	authority_close(&a);
	return rc;
}

static int load_key(struct authority *a)
{
	char path[REPLACE_PATH_MAX], no_phrase[1] = "";
	struct stat st;
	FILE *in;

	if (authority_path(a, "ca", ".key", path) != 0)
		return -1;
	in = fopen(path, "re");
	if (in == NULL) {
		log_error("%s: identities are signed where the CA's key is", path);
		return -1;
	}
	setvbuf(in, NULL, _IONBF, 0); /* no copy of it in a buffer that nobody wipes */
	if (fstat(fileno(in), &st) == 0 && (st.st_mode & 077) != 0) {
		log_errorx("%s can be read by others: chmod 600 %s", path, path);
	} else {
		a->key = PEM_read_PrivateKey(in, NULL, NULL, no_phrase);
		if (a->key == NULL)
			log_errorx("%s: holds no unencrypted private key (PEM)", path);
		else if (X509_check_private_key(a->ca, a->key) != 1)
			log_errorx("%s is not the key of ca.pem beside it", path);
	}
	fclose(in);
	if (a->key != NULL && X509_check_private_key(a->ca, a->key) == 1)
		return 0;
	ERR_clear_error();
	return -1;
}

int authority_open(struct authority *a, const char *dir, bool key)
{
	char path[REPLACE_PATH_MAX];

	memset(a, 0, sizeof(*a));
	if (lock_folder(a, dir) != 0)
		return -1;
	if (authority_path(a, "ca", ".pem", path) != 0)
		goto fail;
	a->ca = authority_load(path);
	if (a->ca == NULL) {
		if (errno == ENOENT)
			log_errorx("%s holds no CA: make one with sslgwctl pki init %s", dir, dir);
		goto fail;
	}
	if ((key && load_key(a) != 0) || authority_read_issued(a) != 0)
		goto fail;
	return 0;
fail:
	authority_close(a);
	return -1;
}

void authority_close(struct authority *a)
{
	for (size_t i = 0; i < a->issued_n; i++)
		free(a->issued[i].prefix);
	free(a->issued);
	X509_free(a->ca);
	EVP_PKEY_free(a->key);
	if (a->lock >= 0)
		close(a->lock);
}

/* ---- signing */

/* None may outlive its CA: peers would refuse it before it says so itself. */
static int64_t life_within(const struct authority *a, int64_t life_s)
{
	int64_t left = authority_time(X509_get0_notAfter(a->ca)) - (int64_t)time(NULL);

	if (left <= 0) {
		log_errorx("%s/ca.pem has expired: begin anew with sslgwctl pki init", a->dir);
		return -1;
	}
	return life_s < left ? life_s : left;
}

int authority_issue(struct authority *a, const char *name, const char *role, int64_t life_s,
    const char *prefix, const struct replace_mode *mode)
{
	char uri[32];
	EVP_PKEY *key;
	X509 *cert;
	int rc;

	life_s = life_within(a, life_s);
	if (life_s < 0)
		return -1;
	snprintf(uri, sizeof(uri), "sslgw:%s", role);
	if (mkcert_signed(a->ca, a->key, name, uri, life_s, &key, &cert) != 0) {
		log_errorx("%s: cannot make a certificate: no memory", name);
		return -1;
	}
	rc = authority_record(a, cert, name, role, prefix);
	if (rc == 0)
		rc = authority_save(a);
	if (rc == 0)
		rc = write_pair(a, prefix, cert, key, mode);
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}
