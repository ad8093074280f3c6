// runv create, ahead of Node: a process of its own reads the container's network namespace while Node starts, and Node is given the end of a pipe as
// --network-fd N. Whatever is unusual (hooks that may change that namespace, a file that cannot be read) is left to Node altogether.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "front.h"

#define CONFIG_MAX_BYTES (16u << 20)

static bool has_early_hooks(const struct json *json)
{
	static const char *const early[] = { "prestart", "createRuntime", "createContainer" };
	size_t hooks = json_member(json, 0, "hooks");
	for (size_t i = 0; hooks != 0 && i < sizeof early / sizeof early[0]; i++) {
		size_t list = json_member(json, hooks, early[i]);
		if (list != 0 && json->values[list].next > list + 1) return true;
	}
	return false;
}

// linux.namespaces' path of the network, NULL where there is none to be read now.
static const char *network_path(const struct json *json)
{
	size_t linux_part = json_member(json, 0, "linux"), list = linux_part == 0 ? 0 : json_member(json, linux_part, "namespaces");
	if (list == 0 || json->values[list].kind != JSON_ARRAY || has_early_hooks(json)) return NULL;
	for (size_t at = list + 1; at < json->values[list].next; at = json->values[at].next) {
		size_t type = json_member(json, at, "type"), path = json_member(json, at, "path");
		if (type == 0 || json->values[type].kind != JSON_STRING || strcmp(json->values[type].text, "network") != 0) continue;
		return path != 0 && json->values[path].kind == JSON_STRING && json->values[path].text[0] == '/' ? json->values[path].text : NULL;
	}
	return NULL;
}

static const char *network_of(const char *bundle)
{
	char path[PATH_MAX];
	size_t length = 0;
	struct json json;
	uint8_t *bytes = record_path(path, bundle, "config.json") ? file_read(path, CONFIG_MAX_BYTES, &length) : NULL;
	char *text = bytes == NULL ? NULL : realloc(bytes, length + 1);
	if (text == NULL || json_read(&json, text, length) < 0) return NULL;
	const char *network = network_path(&json);
	json_free(&json); // the path points into the text, which stays
	return network;
}

// The words for Node, `--network-fd N` behind the verb's name. NULL: no memory.
static char **with_descriptor(char **arguments, char **words, int fd)
{
	static char option[] = "--network-fd", number[16];
	size_t before = (size_t)(words - arguments), count = 0;
	while (arguments[count] != NULL) count++;
	char **all = calloc(count + 3, sizeof *all);
	if (all == NULL) return NULL;
	snprintf(number, sizeof number, "%d", fd);
	memcpy(all, arguments, before * sizeof *all);
	all[before] = option;
	all[before + 1] = number;
	memcpy(all + before + 2, words, (count - before) * sizeof *all);
	return all;
}

int front_create(struct front *front, char **words)
{
	const char *bundle = NULL;
	const struct option options[] = {
		{ "bundle", "b", false, &bundle }, { "pid-file", NULL, false, NULL }, { "console-socket", NULL, false, NULL }, { "preserve-fds", NULL, false, NULL },
		{ "no-pivot", NULL, true, NULL }, { "no-new-keyring", NULL, true, NULL }, { NULL, NULL, false, NULL },
	};
	int ends[2];
	const char *network = front_options(front, words, options) ? network_of(bundle == NULL ? "." : bundle) : NULL;
	if (network == NULL || pipe2(ends, O_CLOEXEC) < 0) return HAND_OVER;
	char **all = with_descriptor(front->arguments, words, ends[0]);
	pid_t reader = all == NULL || fcntl(ends[0], F_SETFD, 0) < 0 ? -1 : fork();
	if (reader == 0) {
		close(ends[0]);
		// What Node's starter waits for the end of is not held up by this process.
		for (int fd = 0; fd <= 2; fd++) close(fd);
		_exit(network_print(network, ends[1]));
	}
	close(ends[1]);
	if (reader < 0) close(ends[0]);
	else front->arguments = all;
	return HAND_OVER;
}

int front_network(struct front *front, char **words)
{
	(void)front;
	return words[0] == NULL || words[1] != NULL ? HAND_OVER : network_print(words[0], STDOUT_FILENO);
}
