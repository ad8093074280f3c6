// runv's front. bin/runv starts it with Node, runv's script and the words that it was given itself:
//
//   runv-front NODE SCRIPT [global flags] VERB …
//
// `start`, `delete` and `exec` of a container that `create` has finished with are done here, within a millisecond, and `create` is begun; everything else, and every one of
// these with a word that is not known here, goes on as Node with the script and the same words. It decides nothing of its own: what it needs is in the
// container's record. An engine starts these verbs at every run and exec, and a start of Node would be most of their time.
#define _GNU_SOURCE
#include "front.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "monitor.h"

#define ID_MAX_BYTES 256

static const struct {
	const char *name;
	int (*run)(struct front *front, char **words);
} verbs[] = { { "start", front_start }, { "delete", front_delete }, { "exec", front_exec }, { "create", front_create }, { "network", front_network } };

int front_tell(const struct front *front, const char *format, ...)
{
	char text[REASON_MAX];
	va_list parts;
	va_start(parts, format);
	vsnprintf(text, sizeof text, format, parts);
	va_end(parts);
	starter_tell(&(struct config){ .log = front->log, .log_json = front->log_json }, text);
	return 1;
}

// As packages/runv/src/state.ts has it: a directory's name.
static bool is_id(const char *id)
{
	size_t length = strlen(id);
	if (length == 0 || length > ID_MAX_BYTES || strcmp(id, ".") == 0 || strcmp(id, "..") == 0) return false;
	return strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-") == length;
}

// One option at words[0]. How many words it takes, 0: none that is known.
static int take_option(char **words, const struct option *options)
{
	const char *given = words[0] + (words[0][1] == '-' ? 2 : 1), *equals = strchr(given, '=');
	size_t length = equals == NULL ? strlen(given) : (size_t)(equals - given);
	for (const struct option *one = options; one->name != NULL; one++) {
		bool matches = (strlen(one->name) == length && memcmp(one->name, given, length) == 0) || (one->alias != NULL && strlen(one->alias) == length && memcmp(one->alias, given, length) == 0);
		if (!matches) continue;
		if (one->flag && equals != NULL && strcmp(equals, "=false") == 0) return 1;
		const char *value = one->flag ? one->name : equals != NULL ? equals + 1 : words[1];
		if (value == NULL) return 0;
		if (one->value != NULL) *one->value = value;
		return one->flag || equals != NULL ? 1 : 2;
	}
	return 0;
}

bool front_options(struct front *front, char **words, const struct option *options)
{
	for (int taken; *words != NULL; words += taken) {
		taken = 1;
		if ((*words)[0] == '-') taken = take_option(words, options);
		else if (front->id == NULL) front->id = *words;
		else return false;
		if (taken == 0) return false;
	}
	return front->id != NULL && is_id(front->id) && record_path(front->directory, front->root, front->id);
}

static int become_node(const struct front *front, char **words)
{
	size_t count = 0;
	while (words[count] != NULL) count++;
	char **arguments = calloc(count + 4, sizeof *arguments);
	if (arguments == NULL) return 1;
	static char no_warnings[] = "--no-warnings";
	memcpy(arguments, (char *[]){ (char *)(uintptr_t)front->node, no_warnings, (char *)(uintptr_t)front->bundle }, 3 * sizeof *arguments);
	memcpy(arguments + 3, words, count * sizeof *arguments);
	// Compiled once, then read. The directory is root's own; where it cannot be written nothing is kept.
	if (unsetenv("NODE_OPTIONS") < 0 || setenv("NODE_COMPILE_CACHE", "/var/cache/runv/node", 1) < 0) return 1;
	execv(front->node, arguments);
	return front_tell(front, "%s cannot be run", front->node);
}

int front_late_hooks(const struct front *front, const struct record *record, const char *kind)
{
	static char root[] = "--root", verb[] = "late-hooks";
	if (lseek(record->fd, 0, SEEK_SET) != 0 || dup2(record->fd, 0) < 0) return front_tell(front, "the hooks of %s cannot be given its record", front->id);
	return become_node(front, (char *[]){ root, (char *)(uintptr_t)front->root, verb, (char *)(uintptr_t)kind, NULL });
}

int main(int argc, char **argv)
{
	const char *root = NULL, *log = NULL, *format = NULL;
	const struct option globals[] = { { "root", NULL, false, &root }, { "log", NULL, false, &log }, { "log-format", NULL, false, &format }, { "systemd-cgroup", NULL, true, NULL }, { NULL, NULL, false, NULL } };
	if (argc < 3) {
		fputs("usage: runv-front NODE SCRIPT [global flags] VERB\n", stderr);
		return 2;
	}
	struct front front = { .node = argv[1], .bundle = argv[2], .arguments = argv + 3 };
	char **words = front.arguments;
	for (int taken; *words != NULL && (*words)[0] == '-'; words += taken)
		if ((taken = take_option(words, globals)) == 0) return become_node(&front, front.arguments);
	char absolute[PATH_MAX], here[PATH_MAX];
	front.root = root == NULL || root[0] == '\0' ? "/run/runv" : root;
	if (front.root[0] != '/') {
		if (getcwd(here, sizeof here) == NULL || !record_path(absolute, here, front.root)) return front_tell(&front, "--root %s is no path", front.root);
		front.root = absolute;
	}
	front.log = log == NULL || log[0] == '\0' ? NULL : log;
	front.log_json = format != NULL && strcmp(format, "json") == 0;
	for (size_t i = 0; *words != NULL && i < sizeof verbs / sizeof verbs[0]; i++) {
		if (strcmp(verbs[i].name, *words) != 0) continue;
		int result = verbs[i].run(&front, words + 1);
		if (result != HAND_OVER) return result;
	}
	return become_node(&front, front.arguments);
}
