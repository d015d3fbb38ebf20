/*
 * keyless.h: the codec of the Keyless protocol, for both sides. Pure.
 *
 * A message: u8 major = 1 | u8 minor = 0 | u16 length of the body | u32 id | body; all big-endian.
 * A body is items in any order: u8 tag | u16 length | data. Unknown tags are skipped, a known one
 * twice, an item past the end, a missing opcode or a wrong fixed length is a format error. Padding
 * (tag 20) is taken in any amount. A question that was padded gets a padded answer, as gokeyless does
 * always, so that an observer cannot tell operations by their answers' lengths; one that was not gets
 * none: between programs of our own it would be four times the bytes for nothing.
 *
 * Custom functions of sslgw (opcode 24, name in tag 13, key by SKI), request -> answer payload:
 *   sslgw/hello      32 bytes: the family token of an embedded service -> empty. First on a connection.
 *   sslgw/tls-sign   u16 SignatureScheme | what a TLS server signs (crypto/tbs.h) -> the signature
 *   sslgw/epoch-keys the group's name -> crypto/epoch.h
 *   sslgw/epoch-ids  empty -> crypto/epoch.h: which generations rule, without keys
 *   sslgw/generations  empty -> crypto/generation.h: between key services only
 *   sslgw/tls-rsa-kx u16 client's version | u16 another that is taken too, or 0 | ciphertext -> always
 *                    48 bytes: where the ciphertext is bad, random ones (RFC 5246, 7.4.7.1)
 *   sslgw/chains     empty -> the certificate chain that lies beside the key, leaf first: u24 length |
 *                    DER, for each certificate. Error 09: there is none
 *   sslgw/keys       empty, or u32 index of the first key -> u32 number of all keys that the caller
 *                    may use | from that index on, as many as fit (at most KEYLESS_KEYS_MAX):
 *                    SKI (20) | SHA-256 of the SubjectPublicKeyInfo (32) | u8 type (enum key_type:
 *                    1 RSA, 2 P-256, 3 P-384, 4 Ed25519) | u8 TLS 1.2 (0 sentinel, 1 any, 2 off)
 *   sslgw/signed     u64 which gateway, by a number that its start has drawn, never 0 | u64 for how many
 *                    signatures (sslgw/tls-sign) this gateway, with all its processes, has asked this
 *                    server since that start -> empty. Within 10 s after the number has grown, and once
 *                    a minute. What is asked beyond it, somebody else has asked (keysvc/claims.h)
 * Keys are found by SKI, or by tag 01: the SHA-256 of an RSA modulus in upper-case hex ASCII.
 * Errors as our service uses them: 02, 05, 07 and 09 are final (no such key for this caller; no such
 * operation for it, or not what a TLS server signs; format); 01 and 08 mean that this server
 * cannot do it now, and another one may.
 */
#ifndef WIRE_KEYLESS_H
#define WIRE_KEYLESS_H

#include "base/bytes.h"

enum {
	KEYLESS_HEADER_LEN = 8,
	KEYLESS_BODY_MAX = 65535,
	KEYLESS_MAX = KEYLESS_HEADER_LEN + KEYLESS_BODY_MAX,
	KEYLESS_PADDED_LEN = 1024,
	KEYLESS_SKI_LEN = 20,
	KEYLESS_DIGEST_LEN = 32,
	KEYLESS_PREMASTER_LEN = 48,
	KEYLESS_TOKEN_LEN = 32,
	KEYLESS_KEY_LEN = 54,
	KEYLESS_KEYS_MAX = 1024,
};

#define KEYLESS_FN_HELLO "sslgw/hello"
#define KEYLESS_FN_TLS_SIGN "sslgw/tls-sign"
#define KEYLESS_FN_EPOCH_KEYS "sslgw/epoch-keys"
#define KEYLESS_FN_EPOCH_IDS "sslgw/epoch-ids"
#define KEYLESS_FN_GENERATIONS "sslgw/generations"
#define KEYLESS_FN_KEYS "sslgw/keys"
#define KEYLESS_FN_SIGNED "sslgw/signed"
#define KEYLESS_FN_CHAINS "sslgw/chains"
#define KEYLESS_FN_TLS_RSA_KX "sslgw/tls-rsa-kx"

enum keyless_op {
	KEYLESS_RSA_DECRYPT = 0x01,
	KEYLESS_RSA_SIGN_MD5SHA1 = 0x02, /* to 0x07: SHA1, SHA224, SHA256, SHA384, SHA512 */
	KEYLESS_RSA_SIGN_SHA256 = 0x05,
	KEYLESS_RSA_SIGN_SHA384 = 0x06,
	KEYLESS_RSA_SIGN_SHA512 = 0x07,
	KEYLESS_ECDSA_SIGN_MD5SHA1 = 0x12, /* to 0x17 in the same order */
	KEYLESS_ECDSA_SIGN_SHA256 = 0x15,
	KEYLESS_ECDSA_SIGN_SHA384 = 0x16,
	KEYLESS_ECDSA_SIGN_SHA512 = 0x17,
	KEYLESS_ED25519_SIGN = 0x18,
	KEYLESS_SEAL = 0x21,
	KEYLESS_UNSEAL = 0x22,
	KEYLESS_CUSTOM = 0x24,
	KEYLESS_PSS_SIGN_SHA256 = 0x35,
	KEYLESS_PSS_SIGN_SHA384 = 0x36,
	KEYLESS_PSS_SIGN_SHA512 = 0x37,
	KEYLESS_ANSWER = 0xf0,
	KEYLESS_PING = 0xf1,
	KEYLESS_PONG = 0xf2,
	KEYLESS_ERROR = 0xff,
};

enum keyless_error {
	KEYLESS_ERR_NONE = 0,
	KEYLESS_ERR_CRYPTO = 0x01,
	KEYLESS_ERR_KEY_NOT_FOUND = 0x02,
	KEYLESS_ERR_READ = 0x03, /* this one, 0a and 0b: foreign servers only */
	KEYLESS_ERR_VERSION = 0x04,
	KEYLESS_ERR_BAD_OPCODE = 0x05,
	KEYLESS_ERR_UNEXPECTED_OPCODE = 0x06,
	KEYLESS_ERR_FORMAT = 0x07,
	KEYLESS_ERR_INTERNAL = 0x08,
	KEYLESS_ERR_NO_CERTIFICATE = 0x09,
	KEYLESS_ERR_SEALING_EXPIRED = 0x0a,
	KEYLESS_ERR_REMOTE = 0x0b,
};

/* Slices point into the message; an item that is not there has at == NULL. */
struct keyless {
	uint32_t id;
	uint8_t opcode;
	bool padded; /* read only: it came with padding */
	struct bytes digest, sni, client_ip, ski, server_ip, certificate_id, payload, function,
	    extra, span, context, region;
};

/* net/frame.h's next(). BAD: the major version is not 1; *id is set if it was there. */
enum parse keyless_next(struct bytes in, size_t *len, uint32_t *id);
/* One whole message. BAD: *error says what to answer; out->id is right if there was a header. */
enum parse keyless_parse(struct bytes message, struct keyless *out, enum keyless_error *error);
/* The length written, or 0: no room in buf or in a body. padded: filled up to KEYLESS_PADDED_LEN. */
size_t keyless_build(const struct keyless *, bool padded, uint8_t *buf, size_t size);
void keyless_number(
    uint8_t *message, uint32_t id); /* net/peers.h's number(): sets a message's id */

/* Short forms of keyless_build; these two without padding. */
size_t keyless_build_answer(uint32_t id, struct bytes payload, uint8_t *buf, size_t size);
size_t keyless_build_error(uint32_t id, enum keyless_error, uint8_t *buf, size_t size);
/* ski NULL: none. */
size_t keyless_build_custom(uint32_t id, const char *function, const uint8_t *ski,
    struct bytes payload, uint8_t *buf, size_t size);

/* Does a message of keyless_build_custom() ask for that function? Others': perhaps not found. */
bool keyless_is_custom(struct bytes message, const char *function);

const char *keyless_error_text(uint8_t code); /* for the operator */

/* One record of the answer to sslgw/keys. */
struct keyless_key {
	uint8_t ski[KEYLESS_SKI_LEN], spki_sha256[32], type, tls12;
};
void keyless_key_put(struct writer *, const struct keyless_key *);
bool keyless_key_take(struct cursor *, struct keyless_key *); /* false: no (whole) record is left */

#endif
