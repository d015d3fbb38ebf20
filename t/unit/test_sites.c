/*
 * test_sites.c: which site a name belongs to, which pool a path.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/sites.h"
#include "http/target.h"

#include "base/poison.h"

#define S(text) ((char *)(uintptr_t)(text))
#define R(path_, pool_)                                                                            \
	{                                                                                          \
		.path = S(path_), .pool = S(pool_)                                                 \
	}

/* A pool is known by the text of its name. */
static struct pool *pool_by_name(void *arg, const char *name)
{
	(void)arg;
	return strcmp(name, "missing") == 0 ? NULL : (struct pool *)(uintptr_t)name;
}

struct fixture {
	char *a_names[3], *b_names[2], *c_names[1];
	char *a_certs[1], *b_certs[1];
	struct route_conf routes[5];
	struct site_conf sites[3];
	struct gateway_conf conf;
};

static void fixture_init(struct fixture *f)
{
	*f = (struct fixture){
		.a_names = { S("shop.example"), S("*.Shop.Example"), S("other.example") },
		.b_names = { S("api.shop.example"), S("*.b.example") },
		.c_names = { S("OTHER.example") },
		.a_certs = { S("a.pem") },
		.b_certs = { S("b.pem") },
		.routes = { R("/", "root"), R("/asp/", "asp"), R("/asp/deep", "deep"),
		    R("/app", "app"),
		    { .path = S("/asp/only"), .pool = S("only"), .exact = true } },
	};
	f->sites[0].names.at = f->a_names;
	f->sites[0].names.n = 3;
	f->sites[0].routes.at = f->routes;
	f->sites[0].routes.n = 5;
	f->sites[0].certificates.at = f->a_certs;
	f->sites[0].certificates.n = 1;
	f->sites[1].names.at = f->b_names;
	f->sites[1].names.n = 2;
	f->sites[1].certificates.at = f->a_certs;
	f->sites[1].certificates.n = 1;
	f->sites[2].names.at = f->c_names;
	f->sites[2].names.n = 1;
	f->conf.sites.at = f->sites;
	f->conf.sites.n = 3;
}

static int index_of(const struct sites *sites, const char *name)
{
	const struct site *site = sites_find(sites, bytes_str(name));

	return site == NULL ? -1 : (int)site->index;
}

static void exact_names_come_before_wildcards_of_one_label(void **state)
{
	static const struct {
		const char *name;
		int site;
	} cases[] = {
		{ "shop.example", 0 },
		{ "SHOP.example.", 0 },
		{ "www.shop.example", 0 },
		{ "WWW.shop.EXAMPLE", 0 },
		{ "api.shop.example", 1 },
		{ "a.api.shop.example", -1 },
		{ "a.www.shop.example", -1 },
		{ "x.b.example", 1 },
		{ "b.example", -1 },
		{ ".shop.example", -1 },
		{ "*.shop.example", 0 },
		{ "", -1 },
		{ ".", -1 },
		{ "example", -1 },
		{ "other.example", 0 },
		{ "shop.example..", -1 },
		{ "shop.example:443", -1 },
	};
	static struct fixture f;
	struct sites *sites;
	char longest[300];

	(void)state;
	fixture_init(&f);
	sites = sites_new(&f.conf, pool_by_name, NULL);
	assert_non_null(sites);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (index_of(sites, cases[i].name) != cases[i].site)
			fail_msg("%s: %d", cases[i].name, index_of(sites, cases[i].name));
	memset(longest, 'a', sizeof(longest));
	assert_null(sites_find(sites, bytes_of(longest, sizeof(longest))));
	assert_int_equal(sites_default(sites)->index, 0);
	assert_int_equal(sites_at(sites, 2)->index, 2);
	assert_null(sites_at(sites, 3));
	sites_free(sites);
}

static const char *route_of(const struct site *site, const char *path)
{
	const struct site_route *route = site_route(site, bytes_str(path));

	return route == NULL ? "none" : (const char *)route->pool;
}

static void the_longest_path_wins_at_borders_of_segments(void **state)
{
	static struct fixture f;
	struct sites *sites;
	const struct site *site;

	(void)state;
	fixture_init(&f);
	sites = sites_new(&f.conf, pool_by_name, NULL);
	assert_non_null(sites);
	site = sites_at(sites, 0);
	assert_string_equal(route_of(site, "/"), "root");
	assert_string_equal(route_of(site, "/asp"), "root");
	assert_string_equal(route_of(site, "/asp/"), "asp");
	assert_string_equal(route_of(site, "/asp/x"), "asp");
	assert_string_equal(route_of(site, "/%61sp/x"), "asp");
	assert_string_equal(route_of(site, "/asp/deep"), "deep");
	assert_string_equal(route_of(site, "/asp/deep/y"), "deep");
	assert_string_equal(route_of(site, "/asp/deeper"), "asp");
	assert_string_equal(route_of(site, "/app"), "app");
	assert_string_equal(route_of(site, "/apple"), "root");
	assert_string_equal(route_of(site, "*"), "root");
	assert_string_equal(route_of(site, "/asp/only"), "only");
	assert_string_equal(route_of(site, "/asp/onl%79"), "only");
	assert_string_equal(route_of(site, "/asp/only/"), "asp");
	assert_string_equal(route_of(site, "/asp/onlyx"), "asp");
	assert_string_equal(route_of(sites_at(sites, 1), "/"), "none");
	sites_free(sites);
}

static void without_case_the_same_routes_are_found(void **state)
{
	static const char *const paths[] = { "/asp/", "/ASP/x", "/Asp/Deep", "/aSP/dEEP/y",
		"/%41sp/ONLY", "/APPle", "/B" };
	static const char *const wanted[] = { "asp", "asp", "deep", "deep", "only", "root", "b" };
	struct route_conf routes[] = { { .path = S("/"), .pool = S("root") },
		{ .path = S("/Asp"), .pool = S("asp") },
		{ .path = S("/asp/DEEP"), .pool = S("deep") },
		{ .path = S("/ASP/only"), .pool = S("only"), .exact = true },
		{ .path = S("/app"), .pool = S("app") }, { .path = S("/b"), .pool = S("b") } };
	static struct fixture f;
	struct sites *sites;

	(void)state;
	fixture_init(&f);
	f.sites[0].ignore_case = true;
	f.sites[0].routes.at = routes;
	f.sites[0].routes.n = sizeof(routes) / sizeof(routes[0]);
	sites = sites_new(&f.conf, pool_by_name, NULL);
	assert_non_null(sites);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		assert_string_equal(route_of(sites_at(sites, 0), paths[i]), wanted[i]);
	sites_free(sites);
}

enum { ROUTES = 200, PATHS = 3000, SEED = 7 };

/* Short texts over few letters, so that many begin with others; escapes only in what is looked up. */
static void some_path(char *to, unsigned *seed, bool escapes)
{
	static const char *const parts[] = { "/", "a", "b", "a/", "bb", "%61", "%2f", "/" };
	unsigned n = 1 + (unsigned)rand_r(seed) % 6;

	strlcpy(to, "/", 32);
	for (unsigned i = 0; i < n; i++)
		strlcat(to, parts[(unsigned)rand_r(seed) % (escapes ? 8 : 5)], 32);
}

/* What the manual says, word by word: the exact one, else the longest at a segment. */
static const struct route_conf *expected(const struct route_conf *routes, const char *path)
{
	const struct route_conf *best = NULL;

	for (size_t i = 0; i < ROUTES; i++) {
		const struct route_conf *r = &routes[i];

		if (r->exact && target_is(bytes_str(path), r->path, false))
			return r;
		if (!r->exact && target_under(bytes_str(path), r->path, false) &&
		    (best == NULL || strlen(r->path) > strlen(best->path)))
			best = r;
	}
	return best;
}

static void among_many_routes_the_same_one_is_found_as_by_looking_at_each(void **state)
{
	static struct fixture f;
	static struct route_conf routes[ROUTES];
	static char texts[ROUTES][32];
	struct sites *sites;
	unsigned seed = SEED, found = 0;

	(void)state;
	fixture_init(&f);
	for (size_t i = 0; i < ROUTES; i++) {
		some_path(texts[i], &seed, false);
		routes[i] = (struct route_conf){
			.path = texts[i], .pool = S("any"), .exact = i % 5 == 0
		};
	}
	f.sites[0].routes.at = routes;
	f.sites[0].routes.n = ROUTES;
	sites = sites_new(&f.conf, pool_by_name, NULL);
	assert_non_null(sites);
	for (int i = 0; i < PATHS; i++) {
		char path[32];
		const struct site_route *got;
		const struct route_conf *want;

		some_path(path, &seed, true);
		got = site_route(sites_at(sites, 0), bytes_str(path));
		want = expected(routes, path);
		found += want != NULL;
		if ((got == NULL) != (want == NULL) ||
		    (got != NULL && (strcmp(got->conf->path, want->path) != 0 ||
					got->conf->exact != want->exact)))
			fail_msg("%s: %s, not %s", path, got != NULL ? got->conf->path : "none",
			    want != NULL ? want->path : "none");
	}
	assert_in_range(found, PATHS / 10, PATHS);
	sites_free(sites);
}

static void a_route_to_a_pool_that_is_missing_is_refused(void **state)
{
	static struct fixture f;

	(void)state;
	fixture_init(&f);
	f.routes[2].pool = S("missing");
	assert_null(sites_new(&f.conf, pool_by_name, NULL));
}

static void connections_are_shared_only_with_the_same_certificates_and_client_rules(void **state)
{
	static struct fixture f;
	struct sites *sites;
	const struct site *a, *b;

	(void)state;
	fixture_init(&f);
	sites = sites_new(&f.conf, pool_by_name, NULL);
	assert_non_null(sites);
	a = sites_at(sites, 0);
	b = sites_at(sites, 1);
	assert_true(sites_share_connections(a, b));
	f.sites[1].client_certificate.verify = CLIENTCERT_REQUIRE;
	assert_false(sites_share_connections(a, b));
	f.sites[0].client_certificate.verify = CLIENTCERT_REQUIRE;
	assert_true(sites_share_connections(a, b));
	f.sites[0].client_certificate.ca_file = S("x.pem");
	assert_false(sites_share_connections(a, b));
	f.sites[1].client_certificate.ca_file = S("x.pem");
	f.sites[1].client_certificate.crl_file = S("x.crl");
	assert_false(sites_share_connections(a, b));
	f.sites[0].client_certificate.crl_file = S("x.crl");
	assert_true(sites_share_connections(a, b));
	f.sites[1].certificates.at = f.b_certs;
	assert_false(sites_share_connections(a, b));
	assert_true(sites_share_connections(b, b));
	sites_free(sites);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_names_come_before_wildcards_of_one_label),
		cmocka_unit_test(the_longest_path_wins_at_borders_of_segments),
		cmocka_unit_test(without_case_the_same_routes_are_found),
		cmocka_unit_test(among_many_routes_the_same_one_is_found_as_by_looking_at_each),
		cmocka_unit_test(a_route_to_a_pool_that_is_missing_is_refused),
		cmocka_unit_test(
		    connections_are_shared_only_with_the_same_certificates_and_client_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
