/*
 * test_gateway_conf.c: gateway.conf: defaults, every rejection with its line, and the quick form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/gateway_conf.h"

#include "base/poison.h"

/* One setting a line, so that a case adds its own at a known line. */
#define LISTEN "listeners = ( { address = \"*:443\"; } );\n"
#define SITE(more)                                                                                 \
	"sites = ( { names = [ \"a.example\" ]; certificates = [ \"/a.pem\" ];\n" more " } );\n"
#define ROUTE "routes = ( { pool = \"p\"; } );"
#define POOL "pools = ( { name = \"p\"; servers = ( { address = \"10.0.0.1:80\"; } ); } );\n"
#define TRUST "identity = \"/gw.pem\"; ca_file = \"/ca.pem\";"
#define KEYS(servers, more) "key_service = { servers = [ " servers " ]; " more " };\n"
#define CACHE(servers, more) "session_cache = { servers = [ " servers " ]; " more " };\n"
#define GOOD                                                                                       \
	LISTEN SITE(ROUTE)                                                                         \
	POOL

static struct gateway_conf *read_conf(const char *text, struct conf_errors *errors)
{
	struct conf_text *t = conf_text_of("gw.conf", text, strlen(text));
	struct gateway_conf *conf;

	assert_non_null(t);
	conf = gateway_conf_new(t, errors);
	conf_text_free(t);
	assert_true((conf == NULL) == (conf_errors_n(errors) != 0));
	return conf;
}

static void a_small_file_has_all_defaults(void **state)
{
	struct conf_errors *errors = conf_errors_new();
	struct gateway_conf *c = read_conf(GOOD, errors);

	(void)state;
	assert_non_null(c);
	assert_int_equal(c->listeners.at[0].mode, LISTENER_TLS);
	assert_int_equal(c->sites.n, 1);
	assert_string_equal(c->sites.at[0].name, "a.example");
	assert_int_equal(c->sites.at[0].tls_profile, TLS_PROFILE_INTERMEDIATE);
	assert_int_equal(c->sites.at[0].min_version, TLS_VERSION_DEFAULT);
	assert_int_equal(c->sites.at[0].resumption, RESUME_TICKETS);
	assert_string_equal(c->sites.at[0].group, "default");
	assert_int_equal(c->sites.at[0].session_lifetime, 86400000);
	assert_int_equal(c->sites.at[0].client_certificate.verify, CLIENTCERT_NONE);
	assert_int_equal(c->sites.at[0].client_certificate.depth, 3);
	assert_int_equal(c->sites.at[0].headers, HEADERS_FORWARDED | HEADERS_MOD_SSL);
	assert_string_equal(c->sites.at[0].routes.at[0].path, "/");
	assert_int_equal(c->pools.at[0].connect_timeout, 2000);
	assert_int_equal(c->pools.at[0].answer_timeout, 60000);
	assert_int_equal(c->pools.at[0].idle_timeout, 4000);
	assert_int_equal(c->session_cache.max_memory, 64 << 20);
	assert_int_equal(c->timeouts.handshake, 10000);
	assert_int_equal(c->timeouts.head, 10000);
	assert_int_equal(c->timeouts.body, 30000);
	assert_int_equal(c->timeouts.idle, 75000);
	assert_int_equal(c->timeouts.write, 60000);
	assert_int_equal(c->timeouts.tunnel, 3600000);
	assert_int_equal(c->timeouts.drain, 300000);
	assert_int_equal(c->limits.connections, 0);
	assert_int_equal(c->limits.handshakes, 512);
	assert_int_equal(c->limits.head, 32768);
	assert_int_equal(c->limits.fields, 100);
	assert_int_equal(c->limits.body, 0);
	assert_int_equal(c->workers, 0);
	assert_null(c->access_log.file);
	assert_string_equal(c->access_log.format, "combined");
	assert_false(c->selfsigned);
	gateway_conf_free(c);
	conf_errors_free(errors);
	gateway_conf_free(NULL);
}

static const char *const rights[] = {
	/* names are lower-cased */
	LISTEN
	"sites = ( { names = [ \"A.Example\", \"*.Shop.example\", \"localhost\", \"x_1.example\" ];"
	"certificates = [ \"/a.pem\" ]; " ROUTE " } );" POOL,
	/* a plain listener: no certificates */
	"listeners = ( { address = \"127.0.0.1:8080\"; mode = \"plain\"; } );\n"
	"sites = ( { names = [ \"a.example\" ]; " ROUTE " } );\n" POOL,
	/* a redirect: no routes either */
	"listeners = ( { address = \"[::]:80\"; mode = \"redirect\"; } );\nsites = ( { names = [ "
	"\"a.example\" ]; } );",
	/* all that a site and a route do */
	LISTEN SITE(
	    "hsts = \"365d\"; hsts_subdomains = true; paths = { encoded_slash = \"pass\"; };"
	    "add = { X-TLS = \"%{tls_version}\"; }; remove = [ \"Cookie\" ];"
	    "answer_add = ( { name = \"X~1\"; value = \"%{server}\"; } ); answer_remove = [ "
	    "\"Server\" ]; require = { networks = [ \"10.0.0.0/8\", \"::1\" ]; };"
	    "routes = ( { path = \"/x\"; pool = \"p\"; strip_prefix = \"/x\"; add_prefix = \"/y/\";"
	    "rewrite = [ \"location\", \"cookies\" ]; }, { path = \"=/x\"; redirect = "
	    "\"https://%{host}:8443%{uri}\"; }, { path = \"/r\"; respond = { body = \"x\"; }; }, "
	    "{ path = \"/.well-known/acme-challenge/\"; plain = true; pool = \"p\"; } );") POOL,
	/* port 0 any number of times, Unix sockets */
	"listeners = ( { address = \"127.0.0.1:0\"; }, { address = \"127.0.0.1:0\"; }, { address = "
	"\"unix:/tmp/x\"; } );\n" SITE(ROUTE) POOL,
	/* unused pools, and the same path in two sites */
	LISTEN "sites = ( { names = [ \"a\" ]; certificates = [ \"/a.pem\" ]; " ROUTE " },"
	       "{ names = [ \"b\" ]; certificates = [ \"/a.pem\" ]; " ROUTE " } );\n" POOL,
	LISTEN SITE("tls_profile = \"modern\"; min_version = \"1.2\"; max_version = \"1.2\";" ROUTE)
	    POOL,
	LISTEN SITE("client_certificate = { verify = \"optional_no_ca\"; };" ROUTE) POOL,
	LISTEN SITE("client_certificate = { verify = \"require\"; ca_file = \"/ca.pem\"; crl_file "
		    "= \"/crl.pem\"; };" ROUTE) POOL,
	LISTEN SITE(
	    "routes = ( { pool = \"p\"; }, { path = \"/x\"; pool = \"p\"; } );") "pools = ( { name "
										 "= \"p\"; servers "
										 "= ( { address = "
										 "\"[::1]:80\"; }, "
										 "{ address = "
										 "\"app.internal:"
										 "8080\"; } ); } "
										 ");",
};

static const char *const rights_of_services[] = {
	GOOD KEYS("\"10.0.1.1:2407\", \"[::1]:2407\", \"keys.internal:2407\", \"unix:/k\"", TRUST),
	GOOD KEYS("\"unix:/k\"", ""),
	GOOD CACHE("\"10.0.1.1:6380\", \"unix:/c\"", TRUST "copies = 1;"),
	GOOD CACHE("\"redis://10.0.1.1:6379\", \"redis://10.0.1.2:6379/0\"", ""),
	GOOD CACHE("\"redis://10.0.1.1:6379\"", "password_file = \"/p\";"),
	GOOD CACHE("\"rediss://gw@cache.example:6379/0\"",
	    "password_file = \"/p\"; ca_file = \"/ca.pem\";"),
	GOOD CACHE("\"rediss://10.0.1.1:6379\", \"rediss://10.0.1.2:6379\"",
	    "ca_file = \"/ca.pem\"; server_name = \"cache.example\";"),
};

static void what_is_right_of_services_elsewhere_is_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rights_of_services) / sizeof(rights_of_services[0]); i++) {
		struct conf_errors *errors = conf_errors_new();
		struct gateway_conf *c = read_conf(rights_of_services[i], errors);

		conf_errors_print(errors, stderr);
		assert_non_null(c);
		gateway_conf_free(c);
		conf_errors_free(errors);
	}
}

static void what_is_right_is_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rights) / sizeof(rights[0]); i++) {
		struct conf_errors *errors = conf_errors_new();
		struct gateway_conf *c;

		c = read_conf(rights[i], errors);
		conf_errors_print(errors, stderr);
		assert_non_null(c);
		if (i == 0) {
			assert_string_equal(c->sites.at[0].name, "a.example");
			assert_string_equal(c->sites.at[0].names.at[1], "*.shop.example");
		}
		gateway_conf_free(c);
		conf_errors_free(errors);
	}
}

static const struct wrong {
	const char *text;
	unsigned line;
	const char *part;
} wrongs[] = {
	/* listeners */
	{ SITE(""), 1, "listeners is missing" },
	{ "\nlisteners = ( );\n" SITE(""), 2, "listeners is empty" },
	{ "listeners = (\n{ mode = \"tls\"; } );\n" SITE(""), 2, "listeners[].address is missing" },
	{ "listeners = ( {\naddress = \"443\"; } );\n" SITE(""), 2,
	    "address \"443\" cannot be listened on" },
	{ "listeners = ( {\naddress = \"www.example.com:443\"; } );\n" SITE(""), 2,
	    "cannot be listened on" },
	{ "listeners = ( {\naddress = \"*:65536\"; } );\n" SITE(""), 2, "cannot be listened on" },
	{ "listeners = ( { address = \"*:443\"; },\n{ address = \"*:443\"; } );\n" SITE(""), 2,
	    "address \"*:443\" is given twice, first at gw.conf:1" },
	{ "listeners = ( { address = \"unix:/x\"; },\n{ address = \"unix:/x\"; } );\n" SITE(""), 2,
	    "address \"unix:/x\" is given twice" },
	{ "listeners = ( { address = \"*:80\";\nmode = \"http\"; } );\n" SITE(""), 2,
	    "mode cannot be \"http\" (tls, redirect, plain)" },
	{ "listeners = ( { address = \"*:80\";\nmode = \"plain\"; } );\n" SITE(""), 2,
	    "a plain listener needs a site with routes" },
	/* sites */
	{ LISTEN, 1, "sites is missing" },
	{ LISTEN "sites = (\n{ certificates = [ \"/a.pem\" ]; } );\n", 3, "a site without names" },
	{ LISTEN "sites = (\n{\nnames = [ ]; certificates = [ \"/a.pem\" ]; } );\n", 3,
	    "a site without names" },
	{ LISTEN "sites = (\n{ names = [ \"a.example\" ]; } );\n", 3,
	    "a site without certificates" },
	{ LISTEN SITE("") POOL, 2, "a site without routes" },
	{ LISTEN "sites = ( { names = [ \"a\",\n\"a\" ]; certificates = [ \"/a.pem\" ]; } );\n", 3,
	    "host name \"a\" is given twice, first at gw.conf:2" },
	{ LISTEN "sites = ( { names = [ \"a\" ]; certificates = [ \"/a.pem\" ]; },\n{ names = [ "
		 "\"b\", \"A\" ]; certificates = [ \"/a.pem\" ]; } );\n",
	    3, "host name \"a\" is given twice, first at gw.conf:2" },
	{ LISTEN "sites = ( { names = [ \"a\" ]; certificates = [ \"/a.pem\" ]; },\n{ name = "
		 "\"a\"; names = [ \"b\" ]; certificates = [ \"/a.pem\" ]; } );\n",
	    3, "site name \"a\" is given twice" },
	{ LISTEN "sites = ( { names = [\n\"*.com\" ]; certificates = [ \"/a.pem\" ]; } );\n", 3,
	    "\"*.com\" is too wide" },
	{ LISTEN "sites = ( { names = [\n\"*\" ]; certificates = [ \"/a.pem\" ]; } );\n", 3,
	    "\"*\" is no host name" },
	{ LISTEN "sites = ( { names = [\n\"a.*.com\" ]; certificates = [ \"/a.pem\" ]; } );\n", 3,
	    "a * stands for the whole first label only" },
	{ LISTEN "sites = ( { names = [\n\"www*.a.com\" ]; certificates = [ \"/a.pem\" ]; } );\n",
	    3, "a * stands for" },
	{ LISTEN
	    "sites = ( { names = [\n\"a.example:443\" ]; certificates = [ \"/a.pem\" ]; } );\n",
	    3, "\"a.example:443\" is no host name" },
	{ LISTEN
	    "sites = ( { names = [\n\"https://a.example\" ]; certificates = [ \"/a.pem\" ]; } );\n",
	    3, "is no host name" },
	{ LISTEN "sites = ( { names = [\n\"a..example\" ]; certificates = [ \"/a.pem\" ]; } );\n",
	    3, "is no host name" },
	{ LISTEN "sites = ( { names = [\n\"a.example.\" ]; certificates = [ \"/a.pem\" ]; } );\n",
	    3, "is no host name" },
	{ LISTEN "sites = ( { names = [\n\"-a.example\" ]; certificates = [ \"/a.pem\" ]; } );\n",
	    3, "is no host name" },
	{ LISTEN "sites = ( { names = [\n\"a b\" ]; certificates = [ \"/a.pem\" ]; } );\n", 3,
	    "is no host name" },
	{ LISTEN "sites = ( { names = [\n\"b\xc3\xbc"
		 "cher.example\" ]; certificates = [ \"/a.pem\" ]; } );\n",
	    3, "write it in ASCII" },
	{ LISTEN SITE("min_version = \"1.3\"; max_version = \"1.2\";"), 3,
	    "min_version is above max_version" },
	{ LISTEN SITE("tls_profile = \"modern\"; max_version = \"1.2\";"), 3,
	    "max_version is below the modern profile's" },
	{ LISTEN SITE("min_version = \"1.1\";"), 3,
	    "min_version cannot be \"1.1\" (default, 1.2, 1.3)" },
	{ LISTEN SITE("tls_profile = \"moden\";"), 3, "did you mean \"modern\"?" },
	{ LISTEN SITE("resumption = \"ticket\";"), 3, "did you mean \"tickets\"?" },
	{ LISTEN SITE("session_lifetime = \"8d\";"), 3,
	    "session_lifetime is out of range: 1s to 7d" },
	{ LISTEN SITE("client_certificate = {\nverify = \"require\"; };"), 4, "add ca_file" },
	{ LISTEN SITE("client_certificate = {\ncrl_file = \"/x\"; };"), 4,
	    "crl_file needs ca_file" },
	{ LISTEN SITE("client_certificate = {\ndepth = 17; };"), 4,
	    "depth is out of range: 0 to 16" },
	{ LISTEN SITE("headers = [ \"modssl\" ];"), 3, "did you mean \"mod_ssl\"?" },
	{ LISTEN SITE("certificate = [ \"/b.pem\" ];"), 3,
	    "unknown setting sites[].certificate: did you mean certificates?" },
	{ LISTEN SITE("ca_file = \"x\";"), 3, "it belongs in sites[].client_certificate" },
	/* what routes do */
	{ LISTEN SITE("routes = ( { pool = \"p\"; redirect = \"/x/\"; } );") POOL, 3,
	    "a route has one of" },
	{ LISTEN SITE("routes = ( { redirect = \"x\"; } );"), 3, "redirect cannot be \"x\"" },
	{ LISTEN SITE("routes = ( { redirect = \"//evil/\"; } );"), 3, "redirect cannot be" },
	{ LISTEN SITE("routes = ( { redirect = \"/%{uri}\"; } );"), 3, "redirect cannot be" },
	{ LISTEN SITE("routes = ( { redirect = \"https://x%{query}\"; } );"), 3,
	    "let a client choose the host" },
	{ LISTEN SITE("routes = ( { redirect = \"https://x/%{nothing}\"; } );"), 3,
	    "%{nothing} is not known here" },
	{ LISTEN SITE("routes = ( { redirect = \"/x\"; redirect_status = 304; } );"), 3,
	    "redirect_status cannot be 304" },
	{ LISTEN SITE("routes = ( { respond = { status = 100; }; } );"), 3,
	    "status 100 is none of a whole answer" },
	{ LISTEN SITE("routes = ( { respond = { status = 204; body = \"x\"; }; } );"), 3,
	    "has no body" },
	{ LISTEN SITE("routes = ( { redirect = \"/x\"; strip_prefix = \"/\"; } );"), 3,
	    "are for routes with a pool" },
	{ LISTEN SITE("routes = ( { path = \"/a/\"; pool = \"p\"; strip_prefix = \"/b/\"; } );")
		POOL,
	    3, "does not begin the route's path" },
	{ LISTEN SITE("routes = ( { pool = \"p\"; add_prefix = \"//x\"; } );") POOL, 3,
	    "must begin with one /" },
	{ LISTEN SITE(ROUTE "\nadd = { X_Forwarded_For = \"x\"; };") POOL, 4, "the gateway's own" },
	{ LISTEN SITE(ROUTE "\nadd = { Content-Length = \"1\"; };") POOL, 4,
	    "is written by the gateway itself" },
	{ LISTEN SITE(ROUTE "\nadd = { X-A = 1; };") POOL, 4, "add must be names" },
	{ LISTEN SITE(ROUTE "\nadd = ( { name = \"X-A\"; } );") POOL, 4, "add must be names" },
	{ LISTEN SITE(ROUTE "\nadd = ( { name = \"X A\"; value = \"x\"; } );") POOL, 4,
	    "is no name of a field" },
	{ LISTEN SITE(ROUTE "\nadd = { X-A = \"a\\r\\nX: y\"; };") POOL, 4,
	    "holds a control character" },
	{ LISTEN SITE(ROUTE "\nanswer_add = { X-A = \"%{path}\"; };") POOL, 4,
	    "%{path} is not known here" },
	{ LISTEN SITE(ROUTE "\nremove = [ \"Host\" ];") POOL, 4,
	    "is written by the gateway itself" },
	{ LISTEN SITE(ROUTE "\nrequire = { networks = [ \"10.0.0.1/8\" ]; };") POOL, 4,
	    "is no network" },
	{ LISTEN SITE(ROUTE "\nrequire = { subject = [ \"CN=x\" ]; };") POOL, 4,
	    "of which the site takes none" },
	{ LISTEN SITE(ROUTE "\npaths = { double_slash = \"pas\"; };") POOL, 4,
	    "did you mean \"pass\"?" },
	{ LISTEN SITE("routes = ( { path = \"=/x\"; pool = \"p\"; },\n{ path = \"/x\"; exact = "
		      "true; pool = \"p\"; } );") POOL,
	    4, "path \"/x\" is given twice" },
	/* routes */
	{ LISTEN SITE("routes = ( { path = \"/\"; } );"), 3, "a route that nothing answers" },
	{ LISTEN SITE("routes = ( { pool = \"p\"; files = \"/srv\"; } );") POOL, 3,
	    "a route has one of pool, files" },
	{ LISTEN SITE("routes = ( { pool = \"p\"; files_cache = \"no-store\"; } );") POOL, 3,
	    "files_* settings without a folder" },
	{ LISTEN SITE("routes = ( { files = \"/srv\"; files_index = \"../x\"; } );"), 3,
	    "files_index \"../x\" is no file's name" },
	{ LISTEN SITE("routes = ( { files = \"/srv\"; files_index = \".x\"; } );"), 3,
	    "files_index \".x\" is no file's name" },
	{ LISTEN SITE("routes = ( { files = \"/srv\"; files_cache = \"a\\r\\nb\"; } );"), 3,
	    "files_cache cannot be a field's value" },
	{ LISTEN SITE("routes = ( { files = \"/srv\"; files_charset = \"a b\"; } );"), 3,
	    "files_charset \"a b\" is no charset" },
	{ LISTEN SITE("routes = ( { path = \"asp/\"; pool = \"p\"; } );") POOL, 3,
	    "path \"asp/\" must begin with /" },
	{ LISTEN SITE("routes = ( { path = \"/a?b\"; pool = \"p\"; } );") POOL, 3,
	    "cannot hold ? or #" },
	{ LISTEN SITE("routes = ( { pool = \"p\"; },\n{ pool = \"p\"; } );") POOL, 4,
	    "path \"/\" is given twice" },
	{ LISTEN SITE(
	      "routes = ( { path = \"/x\"; pool = \"p\"; },\n{ path = \"/x\"; pool = \"p\"; } );")
		POOL,
	    4, "path \"/x\" is given twice, first at gw.conf:3" },
	{ LISTEN SITE("routes = ( { pool = \"q\"; } );") POOL, 3, "there is no pool \"q\"" },
	{ LISTEN SITE("routes = ( { pool = \"q\"; } );"), 3, "there is no pool \"q\"" },
	/* pools */
	{ GOOD "pool = ( );\n", 5, "did you mean pools?" },
	{ LISTEN SITE("") "pools = (\n{ servers = ( { address = \"10.0.0.1:80\"; } ); } );\n", 5,
	    "pools[].name is missing" },
	{ LISTEN SITE("") "pools = (\n{ name = \"p\"; } );\n", 5, "pools[].servers is missing" },
	{ LISTEN SITE("") "pools = ( { name = \"p\";\nservers = ( ); } );\n", 5,
	    "servers is empty" },
	{ LISTEN SITE(
	      "") "pools = ( { name = \"p\"; servers = ( {\naddress = \"10.0.0.1\"; } ); } );\n",
	    5, "is no host and port" },
	{ LISTEN SITE(
	      "") "pools = ( { name = \"p\"; servers = ( {\naddress = \"10.0.0.1:0\"; } ); } );\n",
	    5, "is no host and port" },
	{ LISTEN SITE(
	      "") "pools = ( { name = \"p\"; servers = ( {\naddress = \"http://a:80\"; } ); } );\n",
	    5, "is a URL" },
	{ LISTEN SITE("") "pools = ( { name = \"p\"; servers = ( { address = \"a:80\"; } ); },\n{ "
			  "name = \"p\"; servers = ( { address = \"b:80\"; } ); } );\n",
	    5, "pool name \"p\" is given twice, first at gw.conf:4" },
	/* the rest */
	{ GOOD "workers = 65;\n", 5, "workers is out of range: 0 to 64" },
	{ GOOD "limits = { head = \"512\"; };\n", 5, "head is out of range: 1K to 64K" },
	{ GOOD "limits = { body = 0; };\n", 5, "body must be a size with its unit, in quotes" },
	{ GOOD "timeouts = { idle = \"0\"; };\n", 5, "idle is out of range" },
	{ GOOD "idle = \"75s\";\n", 5, "it belongs in timeouts" },
	{ GOOD "session_cache = { max_memory = \"1K\"; };\n", 5,
	    "max_memory is out of range: 1M to" },
	{ GOOD "access_log = { file = \"stderr\";\nformat = \"common\"; };\n", 6,
	    "write combined, json, or a text" },
	{ GOOD "private_keys = \"/k.pem\";\n", 5, "private_keys must be a list of paths" },
	/* services elsewhere */
	{ GOOD "private_keys = [ \"/k.pem\" ];\n" KEYS("\"10.0.1.1:2407\"", TRUST), 5,
	    "private_keys and key_service.servers do not go together" },
	{ GOOD KEYS("\"10.0.1.1\"", TRUST), 5, "\"10.0.1.1\": it needs a host and a port" },
	{ GOOD KEYS("\"*:2407\"", TRUST), 5, "\"*:2407\": it needs a host and a port" },
	{ GOOD KEYS("\"https://10.0.1.1:2407\"", TRUST), 5, "write host and port only" },
	{ GOOD KEYS("\"a:1\", \"b:1\", \"A:1\"", TRUST), 5, "\"A:1\" is given twice" },
	{ GOOD KEYS("\"unix:relative\"", ""), 5, "no path of a socket" },
	{ GOOD KEYS("\"10.0.1.1:2407\"", "ca_file = \"/ca.pem\";"), 5, "add identity = " },
	{ GOOD KEYS("\"10.0.1.1:2407\"", "identity = \"/gw.pem\";"), 5, "add ca_file = " },
	{ GOOD KEYS("\"unix:/k\"", "identity_key = \"/gw.key\";"), 5, "needs identity beside it" },
	{ GOOD KEYS("", TRUST), 5, "key_service without servers" },
	{ GOOD KEYS("", "protocol = \"keyless\";"), 5, "key_service without servers" },
	{ GOOD KEYS("\"10.0.1.1:1\"", TRUST "protocol = \"keyless\";"), 5, "add server_names" },
	{ GOOD KEYS("\"k:1\"", TRUST "protocol = \"other\";"), 5, "sslgw" },
	{ GOOD KEYS("\"k:1\"", TRUST "protocol = \"keyless\"; server_names = [ \"a b\" ];"), 5,
	    "no name" },
	{ GOOD KEYS("\"k:1\"", TRUST "protocol = \"keyless\"; server_names = [ \"*\" ];"), 5,
	    "no name" },
	{ GOOD KEYS("\"k:1\"", TRUST "server_names = [ \"k\" ];"), 5,
	    "server_names are for protocol = \"keyless\"" },
	{ GOOD KEYS("\"k:1\"", TRUST "ticket_secret_file = \"/t\";"), 5,
	    "ticket_secret_file is for protocol = \"keyless\"" },
	{ GOOD KEYS("\"k:1\"", "protocol = \"keyless\";"), 5, "add identity" },
	{ GOOD CACHE("", TRUST), 5, "session_cache without servers" },
	{ GOOD CACHE("\"10.0.1.1:6380\"", ""), 5, "add identity = " },
	{ GOOD CACHE("\"redis://10.0.1.1\"", ""), 5, "it needs a host and a port" },
	{ GOOD CACHE("\"redis://10.0.1.1:6379/1\"", ""), 5, "only database 0" },
	{ GOOD CACHE("\"redis://a:secret@10.0.1.1:6379\"", ""), 5, "password_file" },
	{ GOOD CACHE("\"redis://a@10.0.1.1:6379\"", ""), 5, "user \"a\" needs a password" },
	{ GOOD CACHE("\"redis://a@h:1\", \"redis://b@h:2\"", "password_file = \"/p\";"), 5,
	    "all have the same user" },
	{ GOOD CACHE("\"redis://h:1\", \"h:2\"", TRUST), 5, "must all be of one kind" },
	{ GOOD CACHE("\"memcached://h:1\"", ""), 5, "write \"host:port\", \"redis://" },
	{ GOOD CACHE("\"rediss://h:1\"", ""), 5, "need a CA to verify them" },
	{ GOOD CACHE("\"rediss://10.0.1.1:1\"", "ca_file = \"/ca.pem\";"), 5, "add server_name" },
	{ GOOD CACHE("\"rediss://h:1\", \"rediss://i:1\"", "ca_file = \"/ca.pem\";"), 5,
	    "add server_name" },
	{ GOOD CACHE("\"redis://h:1\"", "server_name = \"h\";"), 5, "is for rediss://" },
	{ GOOD CACHE("\"unix:/c\"", "copies = 5;"), 5, "copies" },
};

static void each_wrong_file_names_its_line_and_its_mend(void **state)
{
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct conf_errors *errors = conf_errors_new();
		char place[32];

		snprintf(place, sizeof(place), "gw.conf:%u: ", wrongs[i].line);
		gateway_conf_free(read_conf(wrongs[i].text, errors));
		if (conf_errors_n(errors) != 1 ||
		    strncmp(conf_errors_at(errors, 0), place, strlen(place)) != 0 ||
		    strstr(conf_errors_at(errors, 0), wrongs[i].part) == NULL) {
			print_error(
			    "of\n%s\nwanted: %s%s\ngot:\n", wrongs[i].text, place, wrongs[i].part);
			conf_errors_print(errors, stderr);
			failed++;
		}
		conf_errors_free(errors);
	}
	assert_int_equal(failed, 0);
}

static void checks_and_table_speak_at_once(void **state)
{
	struct conf_errors *errors = conf_errors_new();

	(void)state;
	assert_null(read_conf("worker = 3;\n" LISTEN
			      "sites = ( { names = [ \"*.com\" ]; certificates = [ \"/a\" ];\n"
			      "routes = ( { pool = \"q\"; } ); } );\n",
	    errors));
	assert_int_equal(conf_errors_n(errors), 3);
	conf_errors_free(errors);
}

static void the_quick_form_without_a_certificate_is_self_signed(void **state)
{
	char *text = gateway_conf_quick("127.0.0.1:8443", "127.0.0.1:8080", NULL, NULL);
	struct conf_errors *errors = conf_errors_new();
	struct gateway_conf *c = read_conf(text, errors);

	(void)state;
	conf_errors_print(errors, stderr);
	assert_non_null(c);
	assert_true(c->selfsigned);
	assert_string_equal(c->listeners.at[0].address, "127.0.0.1:8443");
	assert_string_equal(c->sites.at[0].routes.at[0].pool, c->pools.at[0].name);
	assert_string_equal(c->pools.at[0].servers.at[0].address, "127.0.0.1:8080");
	assert_non_null(c->sites.at[0].name);
	gateway_conf_free(c);
	conf_errors_free(errors);
	free(text);
}

static void the_quick_form_with_a_certificate_names_both_files(void **state)
{
	char *text = gateway_conf_quick("*:443", "[::1]:80", "/c \"1\".pem", "/k${X}.pem");
	struct conf_errors *errors = conf_errors_new();
	struct gateway_conf *c = read_conf(text, errors);

	(void)state;
	conf_errors_print(errors, stderr);
	assert_non_null(c);
	assert_false(c->selfsigned);
	assert_string_equal(c->sites.at[0].certificates.at[0], "/c \"1\".pem");
	assert_string_equal(c->private_keys.at[0], "/k${X}.pem");
	gateway_conf_free(c);
	conf_errors_free(errors);
	free(text);
}

static void messages_of_the_quick_form_name_the_command_line(void **state)
{
	char *text = gateway_conf_quick("nowhere", "http://10.0.0.1", NULL, NULL);
	struct conf_errors *errors = conf_errors_new();

	(void)state;
	assert_null(read_conf(text, errors));
	assert_int_equal(conf_errors_n(errors), 2);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(
		    strncmp(conf_errors_at(errors, i), "the command line: address \"", 27), 0);
	conf_errors_free(errors);
	free(text);
}

static void the_effective_configuration_reads_back(void **state)
{
	struct conf_errors *errors = conf_errors_new();
	struct gateway_conf *c = read_conf(GOOD, errors), *d;
	char *text = NULL, *again = NULL;
	size_t len, n;
	const struct conf_option *o = gateway_conf_options(&n);
	FILE *f = open_memstream(&text, &len);

	(void)state;
	conf_dump(f, o, n, c);
	fclose(f);
	d = read_conf(text, errors);
	conf_errors_print(errors, stderr);
	assert_non_null(d);
	f = open_memstream(&again, &len);
	conf_dump(f, o, n, d);
	fclose(f);
	assert_string_equal(text, again);
	gateway_conf_free(c);
	gateway_conf_free(d);
	conf_errors_free(errors);
	free(text);
	free(again);
}

static void many_sites_and_routes_are_checked_fast(void **state)
{
	struct conf_errors *errors = conf_errors_new();
	struct gateway_conf *c;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	fputs(
	    LISTEN "sites = ( { names = [ \"first\" ]; certificates = [ \"/a\" ]; " ROUTE " }", f);
	for (int i = 0; i < 10000; i++)
		fprintf(f,
		    ",\n{ names = [ \"s%d.example\" ]; certificates = [ \"/a\" ]; " ROUTE " }", i);
	fputs(" );\n" POOL, f);
	fclose(f);
	c = read_conf(text, errors);
	conf_errors_print(errors, stderr);
	assert_non_null(c);
	assert_int_equal(c->sites.n, 10001);
	gateway_conf_free(c);
	conf_errors_free(errors);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_small_file_has_all_defaults),
		cmocka_unit_test(what_is_right_is_taken),
		cmocka_unit_test(what_is_right_of_services_elsewhere_is_taken),
		cmocka_unit_test(each_wrong_file_names_its_line_and_its_mend),
		cmocka_unit_test(checks_and_table_speak_at_once),
		cmocka_unit_test(the_quick_form_without_a_certificate_is_self_signed),
		cmocka_unit_test(the_quick_form_with_a_certificate_names_both_files),
		cmocka_unit_test(messages_of_the_quick_form_name_the_command_line),
		cmocka_unit_test(the_effective_configuration_reads_back),
		cmocka_unit_test(many_sites_and_routes_are_checked_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
