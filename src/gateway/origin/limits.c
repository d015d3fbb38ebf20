/*
 * limits.c: see limits.h. The config may allow more than http/head can take; its own bounds hold then.
 */
#include "config.h"

#include "gateway/origin/limits.h"

#include "base/poison.h"

struct head_limits limits_of(const struct gateway_conf *conf)
{
	struct head_limits limits = {
		.head_max = HEAD_BYTES_MAX,
		.line_max = LIMITS_LINE_BYTES,
		.fields_max = HEAD_FIELDS_MAX,
	};

	if (conf->limits.head < limits.head_max)
		limits.head_max = conf->limits.head;
	if (limits.head_max < limits.line_max)
		limits.line_max = limits.head_max;
	if (conf->limits.fields < HEAD_FIELDS_MAX)
		limits.fields_max = (unsigned)conf->limits.fields;
	return limits;
}
