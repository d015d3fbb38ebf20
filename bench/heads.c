/*
 * heads.c: the way of a request's head through guard, parse, head, site and the request built anew, N
 * times, for counting instructions: bench/guard runs it under callgrind. usage: heads N NAME
 */
#include "config.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/exchange/headers.h"

#include "base/poison.h"

#define ID "0123456789abcdef0123456789abcdef"

static const struct {
	const char *name, *text;
} requests[] = {
	{ "small", "GET /1024 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: load\r\nAccept: "
		   "*/*\r\n\r\n" },
	{ "browser",
	    "GET /catalogue/item?id=4711&view=full HTTP/1.1\r\nHost: www.example.com\r\n"
	    "Connection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"126\", "
	    "\"Not/A)Brand\";v=\"8\"\r\n"
	    "sec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: "
	    "1\r\n"
	    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
	    "Chrome/126.0.0.0 Safari/537.36\r\n"
	    "Accept: "
	    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/"
	    "*;q=0.8\r\n"
	    "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\n"
	    "Sec-Fetch-Dest: document\r\nReferer: https://www.example.com/catalogue/\r\n"
	    "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
	    "Cookie: session=6c1d0d0f5e7f4b9f8f0e; theme=dark; consent=all\r\n\r\n" },
	{ "post",
	    "POST /api/v1/orders HTTP/1.1\r\nHost: www.example.com\r\nContent-Type: "
	    "application/json\r\n"
	    "Content-Length: 512\r\nAuthorization: Bearer 0123456789abcdef0123456789abcdef\r\n"
	    "User-Agent: client/1.0\r\nAccept: application/json\r\n\r\n" },
};

static const char *find(const char *name)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (strcmp(requests[i].name, name) == 0)
			return requests[i].text;
	errx(2, "no request %s", name);
}

int main(int argc, char **argv)
{
	static const struct head_limits limits = { 32768, 16384, 100 };
	static char name[] = "www.example.com";
	static struct head head;
	static uint8_t out[8192];
	static struct client client = { .version = "TLSv1.3",
		.cipher = "TLS_AES_128_GCM_SHA256",
		.cipher_bits = 128,
		.alg_bits = 128,
		.verify = "NONE" };
	struct site_conf conf = { .name = name, .headers = HEADERS_FORWARDED };
	struct site site = { .conf = &conf };
	struct headers_facts facts = { .head = &head, .client = &client, .site = &site };
	struct endpoint local;
	struct bytes text;

	if (argc != 3)
		errx(2, "usage: heads N NAME");
	text = bytes_str(find(argv[2]));
	facts.peer = bytes_str("192.0.2.7");
	facts.id = bytes_str(ID);
	if (endpoint_of_ip(&local, "192.0.2.1", 8443) != 0)
		errx(2, "address");
	client.local = endpoint_brief(&local);
	for (long n = strtol(argv[1], NULL, 10); n > 0; n--) {
		struct head_scan scan = { 0 };
		struct headers_marks marks;
		struct verdict verdict;
		struct writer w = writer_of(out, sizeof(out));
		size_t used;

		if (head_request(text, &limits, &scan, &head, &used, &verdict) != PARSE_OK ||
		    headers_bound(&facts) > sizeof(out) || !headers_write(&w, &facts, &marks))
			errx(1, "refused");
	}
	return 0;
}
