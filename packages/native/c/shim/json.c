// A scanner over text in memory, without recursion and without allocation. It checks no more than it needs to stay inside.
#include "json.h"
#include <stdint.h>
#include <string.h>

static const char *blanks(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
	return at;
}

/* Past the string that begins at `at`; NULL: it does not end. */
static const char *past_string(const char *at, const char *end)
{
	for (at++; at < end; at++) {
		if (*at == '\\') at++;
		else if (*at == '"') return at + 1;
	}
	return NULL;
}

/* Past one value; brackets are counted, not matched. */
static const char *past_value(const char *at, const char *end)
{
	unsigned depth = 0;
	while (at < end) {
		if (*at == '"') {
			at = past_string(at, end);
			if (at == NULL) return NULL;
			if (depth == 0) return at;
			continue;
		}
		if (depth == 0 && (*at == ',' || *at == ':' || *at == ']' || *at == '}')) return at;
		if (*at == '{' || *at == '[') depth++;
		else if ((*at == '}' || *at == ']') && --depth == 0) return at + 1;
		at++;
	}
	return depth == 0 ? at : NULL;
}

static struct json value_at(const char *at, const char *end)
{
	at = blanks(at, end);
	const char *past = at < end ? past_value(at, end) : NULL;
	if (past == NULL || past == at) return (struct json){ NULL, NULL };
	while (past > at && (past[-1] == ' ' || past[-1] == '\t' || past[-1] == '\n' || past[-1] == '\r')) past--;
	return (struct json){ at, past };
}

struct json json_of(const char *text, size_t length)
{
	return text == NULL ? (struct json){ NULL, NULL } : value_at(text, text + length);
}

bool json_next(struct json whole, struct json *at, struct json *name)
{
	if (whole.at == NULL || (*whole.at != '{' && *whole.at != '[')) return false;
	const char *from = blanks(at->at == NULL ? whole.at + 1 : at->end, whole.end);
	if (at->at != NULL) {
		if (from >= whole.end || *from != ',') return false;
		from++;
	}
	*at = value_at(from, whole.end);
	if (at->at == NULL || *whole.at == '[') return at->at != NULL;
	if (name != NULL) *name = *at;
	from = blanks(at->end, whole.end);
	if (*at->at != '"' || from >= whole.end || *from != ':') return false;
	*at = value_at(from + 1, whole.end);
	return at->at != NULL;
}

struct json json_member(struct json object, const char *wanted)
{
	struct json found = { NULL, NULL }, at = { NULL, NULL }, name;
	if (object.at == NULL || *object.at != '{') return found;
	while (json_next(object, &at, &name))
		if (json_is(name, wanted)) found = at;
	return found;
}

bool json_is(struct json value, const char *text)
{
	char decoded[64];
	size_t length;
	return json_string(value, decoded, sizeof decoded, &length) && strcmp(decoded, text) == 0;
}

static int hex(const char *at, const char *end)
{
	int value = 0;
	if (end - at < 4) return -1;
	for (int i = 0; i < 4; i++) {
		char digit = at[i];
		int part = digit >= '0' && digit <= '9' ? digit - '0' : (digit | 32) >= 'a' && (digit | 32) <= 'f' ? (digit | 32) - 'a' + 10 : -1;
		if (part < 0) return -1;
		value = value << 4 | part;
	}
	return value;
}

static size_t utf8(uint32_t point, char into[4])
{
	if (point < 0x80) {
		into[0] = (char)point;
		return 1;
	}
	size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	for (size_t i = length - 1; i > 0; i--) {
		into[i] = (char)(0x80 | (point & 0x3f));
		point >>= 6;
	}
	into[0] = (char)(lead[length] | point);
	return length;
}

bool json_string(struct json value, char *into, size_t size, size_t *length)
{
	static const char plain[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	size_t out = 0;
	if (value.at == NULL || *value.at != '"' || value.end - value.at < 2) return false;
	for (const char *at = value.at + 1; at < value.end - 1; at++) {
		char bytes[4] = { *at };
		size_t count = 1;
		if (*at == '\\') {
			const char *known = at[1] == '\0' ? NULL : strchr(plain, at[1]);
			if (known != NULL) {
				bytes[0] = meant[known - plain];
				at++;
			} else if (at[1] == 'u') {
				int point = hex(at + 2, value.end - 1);
				at += 5;
				if (point >= 0xd800 && point < 0xdc00 && value.end - at > 2 && at[1] == '\\' && at[2] == 'u') {
					int low = hex(at + 3, value.end - 1);
					if (low < 0xdc00 || low > 0xdfff) return false;
					point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
					at += 6;
				}
				if (point <= 0 || (point >= 0xd800 && point < 0xe000)) return false;
				count = utf8((uint32_t)point, bytes);
			} else return false;
		}
		if (bytes[0] == '\0' || out + count >= size) return false;
		memcpy(into + out, bytes, count);
		out += count;
	}
	if (size == 0) return false;
	into[out] = '\0';
	*length = out;
	return true;
}
