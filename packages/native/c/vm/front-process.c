// An engine's process.json as the payload of SPAWN: what packages/runv/src/spec-to-guest.ts makes of it (tests hold the two against each other), or
// nothing, where it is not of the usual kind: Node then does it, or tells what is wrong.
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include "front.h"
#include "monitor-config.h"
#include "monitor-link.h"
#include "protocol.h"

#define FILE_MAX_BYTES (1u << 20)
#define EXACT_MOST (1ull << 53) // larger ones are not exact in Node
#define GROUPS_MAX 65536u

// At the index of its bit (linux/capability.h).
static const char *const capabilities[] = {
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
	"IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
	"LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
};

// At the index of its number on x86-64.
static const char *const rlimits[] = { "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME" };

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct payload {
	uint8_t *bytes;
	size_t length;
	bool failed; // it is longer than a payload may be, or something in it is not of the usual kind
};

static void put_bytes(struct payload *p, const void *bytes, size_t length)
{
	if (p->failed || length > VM_MAX_PAYLOAD - p->length) {
		p->failed = true;
		return;
	}
	if (length > 0) memcpy(p->bytes + p->length, bytes, length);
	p->length += length;
}

static void put_record(struct payload *p, uint16_t tag, const void *bytes, size_t length)
{
	uint8_t head[8] = { 0 };
	put_u16(head, tag);
	put_u32(head + 4, (uint32_t)length);
	put_bytes(p, head, sizeof head);
	put_bytes(p, bytes, length);
}

static void put_u64(uint8_t *at, uint64_t value)
{
	put_u32(at, (uint32_t)value);
	put_u32(at + 4, (uint32_t)(value >> 32));
}

// A member that must be of this kind where it is there. 0: it is not.
static size_t member(struct payload *p, const struct json *json, size_t object, const char *name, enum json_kind kind)
{
	size_t at = json_member(json, object, name);
	if (at != 0 && json->values[at].kind != kind) p->failed = true;
	return p->failed ? 0 : at;
}

static uint32_t number(struct payload *p, const struct json *json, size_t object, const char *name, uint32_t most, uint32_t standard)
{
	uint64_t value = standard;
	size_t at = object == 0 ? 0 : json_member(json, object, name);
	if (at != 0 && !json_number(&json->values[at], most, &value)) p->failed = true;
	return (uint32_t)value;
}

static bool truth(struct payload *p, const struct json *json, const char *name)
{
	size_t at = json_member(json, 0, name);
	enum json_kind kind = at == 0 ? JSON_FALSE : json->values[at].kind;
	if (kind != JSON_FALSE && kind != JSON_TRUE) p->failed = true;
	return kind == JSON_TRUE;
}

// Each string of a list as a record. How many there were.
static size_t put_strings(struct payload *p, const struct json *json, size_t list, uint16_t tag)
{
	size_t count = 0;
	if (list == 0) return 0;
	for (size_t at = list + 1; at < json->values[list].next; at = json->values[at].next, count++) {
		if (json->values[at].kind != JSON_STRING) p->failed = true;
		else put_record(p, tag, json->values[at].text, strlen(json->values[at].text));
	}
	return count;
}

// The index of PREFIX_NAME, or -1.
static int index_of(const char *text, const char *prefix, const char *const *names, size_t count)
{
	size_t length = strlen(prefix);
	for (size_t i = 0; strncmp(text, prefix, length) == 0 && i < count; i++)
		if (strcmp(text + length, names[i]) == 0) return (int)i;
	return -1;
}

static uint64_t mask(struct payload *p, const struct json *json, size_t sets, const char *name)
{
	uint64_t bits = 0;
	size_t list = sets == 0 ? 0 : member(p, json, sets, name, JSON_ARRAY);
	for (size_t at = list + 1; list != 0 && at < json->values[list].next; at = json->values[at].next) {
		int bit = json->values[at].kind == JSON_STRING ? index_of(json->values[at].text, "CAP_", capabilities, COUNT(capabilities)) : -1;
		if (bit < 0) p->failed = true;
		else bits |= 1ull << bit;
	}
	return bits;
}

static void put_capabilities(struct payload *p, const struct json *json)
{
	static const char *const sets[] = { "bounding", "effective", "inheritable", "permitted", "ambient" };
	uint8_t bytes[8 * COUNT(sets)];
	size_t object = member(p, json, 0, "capabilities", JSON_OBJECT);
	for (size_t i = 0; i < COUNT(sets); i++) put_u64(bytes + 8 * i, mask(p, json, object, sets[i]));
	put_record(p, VM_S_CAPS, bytes, sizeof bytes);
}

static void put_ids(struct payload *p, const struct json *json)
{
	uint8_t head[8] = { 0 }, one[4];
	size_t user = member(p, json, 0, "user", JSON_OBJECT), groups = user == 0 ? 0 : member(p, json, user, "additionalGids", JSON_ARRAY), count = 0;
	for (size_t at = groups + 1; groups != 0 && at < json->values[groups].next; at = json->values[at].next) count++;
	if (count > GROUPS_MAX) p->failed = true;
	put_u16(head, VM_S_IDS);
	put_u32(head + 4, (uint32_t)(4 * (3 + count)));
	put_bytes(p, head, sizeof head);
	static const char *const names[] = { "uid", "gid", "umask" };
	for (size_t i = 0; i < COUNT(names); i++) {
		put_u32(one, number(p, json, user, names[i], UINT32_MAX, i == 2 ? UINT32_MAX : 0));
		put_bytes(p, one, sizeof one);
	}
	for (size_t at = groups + 1; groups != 0 && at < json->values[groups].next; at = json->values[at].next) {
		uint64_t gid = 0;
		if (!json_number(&json->values[at], UINT32_MAX, &gid)) p->failed = true;
		put_u32(one, (uint32_t)gid);
		put_bytes(p, one, sizeof one);
	}
}

static void put_terminal(struct payload *p, const struct json *json, bool terminal)
{
	uint8_t size[4];
	size_t console = member(p, json, 0, "consoleSize", JSON_OBJECT);
	put_u16(size, (uint16_t)number(p, json, console, "height", UINT16_MAX, 0));
	put_u16(size + 2, (uint16_t)number(p, json, console, "width", UINT16_MAX, 0));
	if (terminal) put_record(p, VM_S_TTY, size, sizeof size);
}

static void put_limits(struct payload *p, const struct json *json)
{
	size_t list = member(p, json, 0, "rlimits", JSON_ARRAY);
	for (size_t at = list + 1; list != 0 && !p->failed && at < json->values[list].next; at = json->values[at].next) {
		uint8_t bytes[24] = { 0 };
		size_t type = member(p, json, at, "type", JSON_STRING);
		int index = type == 0 ? -1 : index_of(json->values[type].text, "RLIMIT_", rlimits, COUNT(rlimits));
		if (index < 0) p->failed = true;
		put_u32(bytes, (uint32_t)index);
		for (int i = 0; i < 2; i++) {
			uint64_t limit = 0;
			size_t value = member(p, json, at, i == 0 ? "soft" : "hard", JSON_NUMBER);
			if (value == 0 || !json_number(&json->values[value], UINT64_MAX, &limit) || (limit > EXACT_MOST && limit != UINT64_MAX)) p->failed = true;
			put_u64(bytes + 8 + 8 * i, limit);
		}
		put_record(p, VM_S_RLIMIT, bytes, sizeof bytes);
	}
}

static void put_score(struct payload *p, const struct json *json)
{
	uint8_t bytes[4];
	uint64_t score = 0;
	size_t at = member(p, json, 0, "oomScoreAdj", JSON_NUMBER);
	if (at == 0) return;
	// The one number here that may be below zero.
	struct json_value magnitude = json->values[at];
	bool negative = magnitude.text[0] == '-';
	if (negative) magnitude.text++;
	if (!json_number(&magnitude, 1000, &score)) p->failed = true;
	put_u32(bytes, negative ? 0 - (uint32_t)score : (uint32_t)score);
	put_record(p, VM_S_OOM_SCORE_ADJ, bytes, sizeof bytes);
}

static void put_process(struct payload *p, const struct json *json, struct process_words *process)
{
	size_t args = member(p, json, 0, "args", JSON_ARRAY), cwd = member(p, json, 0, "cwd", JSON_STRING);
	const char *directory = cwd == 0 ? "/" : json->values[cwd].text;
	if (put_strings(p, json, args, VM_S_ARG) == 0 || directory[0] != '/') p->failed = true;
	if (p->failed) return;
	process->program = json->values[args + 1].text;
	process->terminal = truth(p, json, "terminal");
	put_strings(p, json, member(p, json, 0, "env", JSON_ARRAY), VM_S_ENV);
	put_record(p, VM_S_CWD, directory, strlen(directory));
	put_ids(p, json);
	put_terminal(p, json, process->terminal);
	put_record(p, VM_S_STDIN, NULL, 0);
	put_capabilities(p, json);
	put_limits(p, json);
	if (truth(p, json, "noNewPrivileges")) put_record(p, VM_S_NO_NEW_PRIVS, NULL, 0);
	put_score(p, json);
}

uint8_t *process_payload(const char *file, size_t *length, struct process_words *process)
{
	size_t read = 0;
	uint8_t *bytes = file_read(file, FILE_MAX_BYTES, &read);
	char *text = bytes == NULL ? NULL : realloc(bytes, read + 1); // for as long as we live: the program's name points into it
	struct json json;
	struct payload p = { .bytes = malloc(VM_MAX_PAYLOAD) };
	if (text == NULL || p.bytes == NULL || json_read(&json, text, read) < 0) return NULL;
	if (json.values[0].kind != JSON_OBJECT) p.failed = true;
	else put_process(&p, &json, process);
	json_free(&json);
	*length = p.length;
	return p.failed ? NULL : p.bytes;
}
