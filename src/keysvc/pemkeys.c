/*
 * pemkeys.c: PEM to key. Called at start and on reload, with an inherited descriptor (embedded) or a
 * path. A pass phrase is never asked for: who could type it?
 */
#include "config.h"

#include "keysvc/pemkeys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#include "base/poison.h"

/* Reads all of fd; -1 with why. Reads from the beginning, wherever another reader left it. */
static ssize_t slurp(int fd, uint8_t *buf, size_t max, char *why, size_t size)
{
	size_t len = 0;
	ssize_t got;

	while (len < max) {
		got = pread(fd, buf + len, max - len, (off_t)len);
		if (got == -1 && errno == ESPIPE)
			got = read(fd, buf + len, max - len);
		if (got == 0)
			return (ssize_t)len;
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1) {
			snprintf(why, size, "%s", strerror(errno));
			return -1;
		}
		len += (size_t)got;
	}
	snprintf(why, size, "above 256 KiB: this is no key file");
	return -1;
}

static int passphrase_cb(char *buf, int size, int rwflag, void *arg)
{
	bool *asked = arg;

	(void)buf, (void)size, (void)rwflag;
	*asked = true;
	return -1;
}

static EVP_PKEY *parse(struct bytes pem, char *why, size_t size)
{
	static const char mark[] = "PRIVATE KEY-----";
	BIO *bio;
	EVP_PKEY *pkey;
	bool encrypted = false;
	unsigned long err;

	/* libcrypto's own error is the same for no key and for an unknown one. */
	if (pem.len == 0 || memmem(pem.at, pem.len, mark, sizeof(mark) - 1) == NULL) {
		snprintf(why, size, PEMKEYS_NONE " in PEM (-----BEGIN PRIVATE KEY-----)");
		return NULL;
	}
	if ((bio = BIO_new_mem_buf(pem.at, (int)pem.len)) == NULL) {
		snprintf(why, size, "out of memory");
		return NULL;
	}
	ERR_clear_error();
	pkey = PEM_read_bio_PrivateKey(bio, NULL, passphrase_cb, &encrypted);
	err = ERR_peek_last_error();
	if (pkey == NULL && encrypted)
		snprintf(why, size,
		    "the key is encrypted: decrypt it (openssl pkey -in OLD -out NEW; chmod 600 "
		    "NEW)");
	else if (pkey == NULL)
		snprintf(why, size,
		    "the private key is damaged, or of a type that is not known here (%s)",
		    ERR_reason_error_string(err) == NULL ? "no detail"
							 : ERR_reason_error_string(err));
	ERR_clear_error();
	BIO_free(bio);
	return pkey;
}

struct key *pemkeys_read(int fd, const char *name, char *why, size_t size)
{
	uint8_t *buf = malloc(PEMKEYS_FILE_MAX);
	struct stat st;
	EVP_PKEY *pkey = NULL;
	ssize_t len;

	if (buf == NULL) {
		snprintf(why, size, "out of memory");
		return NULL;
	}
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		snprintf(why, size, "is a folder: name a file");
		free(buf);
		return NULL;
	}
	if ((len = slurp(fd, buf, PEMKEYS_FILE_MAX, why, size)) != -1)
		pkey = parse(bytes_of(buf, (size_t)len), why, size);
	OPENSSL_cleanse(buf, PEMKEYS_FILE_MAX);
	free(buf);
	if (pkey == NULL)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink > 0 &&
	    (st.st_mode & S_IROTH) != 0)
		log_warnx("%s: every user can read this private key: chmod 600 it", name);
	return key_new(pkey, name, why, size);
}

/* ---- paths */

struct load {
	struct keystore *store;
	void (*loaded)(void *arg, struct key *);
	void (*failed)(void *arg, const char *file, const char *why);
	void *arg;
	size_t n;
};

static void load_fd(struct load *load, int fd, const char *file, bool must)
{
	char why[256];
	struct key *key = pemkeys_read(fd, file, why, sizeof(why));

	if (key == NULL) {
		/* Certificates may lie beside the keys in a folder. */
		if (must || strstr(why, PEMKEYS_NONE) == NULL)
			load->failed(load->arg, file, why);
		return;
	}
	load->loaded(load->arg, key);
	load->n++;
	switch (keystore_add(load->store, key)) {
	case 1:
		log_info("%s: the same key came from another file already", file);
		break;
	case -1:
		load->failed(load->arg, file, "too many keys, or out of memory");
		break;
	}
}

const char *pemkeys_between(const char *folder)
{
	size_t len = strlen(folder);

	return len > 0 && folder[len - 1] == '/' ? "" : "/";
}

static void load_entry(struct load *load, int folder, const char *path, const char *name)
{
	struct stat st;
	char *file;
	int fd;

	if (asprintf(&file, "%s%s%s", path, pemkeys_between(path), name) == -1) {
		load->failed(load->arg, path, "out of memory");
		return;
	}
	fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1)
		load->failed(load->arg, file, strerror(errno));
	else if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		load_fd(load, fd, file, false);
	if (fd != -1)
		close(fd);
	free(file);
}

static void load_folder(struct load *load, DIR *dir, const char *path)
{
	struct dirent *entry;

	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			load_entry(load, dirfd(dir), path, entry->d_name);
	}
}

size_t pemkeys_load(struct keystore *store, const char *path,
    void (*loaded)(void *arg, struct key *),
    void (*failed)(void *arg, const char *file, const char *why), void *arg)
{
	struct load load = { store, loaded, failed, arg, 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	DIR *dir;

	if (fd == -1 || fstat(fd, &st) == -1) {
		failed(arg, path, strerror(errno));
		if (fd != -1)
			close(fd);
		return 0;
	}
	if (!S_ISDIR(st.st_mode)) {
		load_fd(&load, fd, path, true);
		close(fd);
	} else if ((dir = fdopendir(fd)) != NULL) {
		load_folder(&load, dir, path);
		closedir(dir);
		if (load.n == 0)
			failed(arg, path, "no private key in this folder");
	} else {
		failed(arg, path, strerror(errno));
		close(fd);
	}
	return load.n;
}
