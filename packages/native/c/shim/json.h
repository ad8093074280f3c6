// Reading JSON where it stands: finding members, decoding strings. Made for the specs that containerd passes on; whatever makes no sense is "not there".
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct json { const char *at, *end; }; // one value, without the blanks around it; at NULL: not there

struct json json_of(const char *text, size_t length);
struct json json_member(struct json object, const char *name); // the last one of that name
// Walks through an array or the members of an object: `*at` starts as {0}. `name` (may be NULL) is a member's name, still quoted.
bool json_next(struct json whole, struct json *at, struct json *name);
bool json_is(struct json value, const char *text);              // a string that is this
bool json_string(struct json value, char *into, size_t size, size_t *length); // decodes; false: no string, too long, or holds a NUL
