// What a network namespace holds, for `create`: links with their addresses, and the routes of the main tables, as three lines of JSON in the words of
// iproute2 (`ip -j`), or one line `error TEXT`. Asked of the kernel by rtnetlink(7); it changes nothing.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "front.h"
#include "monitor-link.h"
#include "monitor-status.h"

// Of linux/{netlink,rtnetlink,if_link,if_addr,if_arp}.h, which musl's headers come without.
#define NETLINK_ROUTE 0
#define NLM_F_REQUEST 0x001
#define NLM_F_DUMP 0x300
#define NLMSG_ERROR 2
#define NLMSG_DONE 3
#define RTM_NEWLINK 16
#define RTM_GETLINK 18
#define RTM_NEWADDR 20
#define RTM_GETADDR 22
#define RTM_NEWROUTE 24
#define RTM_GETROUTE 26
#define IFLA_ADDRESS 1
#define IFLA_IFNAME 3
#define IFLA_MTU 4
#define IFLA_LINKINFO 18
#define IFLA_INFO_KIND 1
#define IFA_ADDRESS 1
#define IFA_LOCAL 2
#define RTA_DST 1
#define RTA_OIF 4
#define RTA_GATEWAY 5
#define RTA_TABLE 15
#define RT_TABLE_MAIN 254
#define RTPROT_KERNEL 2
#define RTN_UNICAST 1
#define RTM_F_CLONED 0x200
#define RT_SCOPE_LINK 253
#define ARPHRD_ETHER 1
#define ARPHRD_LOOPBACK 772
#define ATTRIBUTE_MASK 0x3fff

#define LINKS_MAX 1024
#define ADDRESSES_MAX 4096
#define ANSWERS_MAX 4096 // datagrams of one dump
#define ATTRIBUTES_MAX 64 // numbers of attributes that are looked at

struct address {
	uint32_t index;
	uint8_t family, prefix, scope, bytes[16];
};

struct link_seen {
	uint32_t index, mtu;
	uint16_t type;
	uint8_t mac[6];
	bool has_mac;
	char name[16], kind[16];
};

struct seen {
	FILE *out;
	struct link_seen links[LINKS_MAX];
	struct address addresses[ADDRESSES_MAX];
	size_t link_count, address_count, route_count;
	uint8_t family; // of routes
};

struct attribute {
	const uint8_t *bytes;
	size_t length;
};

static uint16_t get_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

// By number; those beyond, and those that are cut, are passed over.
static void attributes_read(const uint8_t *at, size_t left, struct attribute into[ATTRIBUTES_MAX])
{
	memset(into, 0, ATTRIBUTES_MAX * sizeof *into);
	while (left >= 4) {
		size_t length = get_u16(at), number = get_u16(at + 2) & ATTRIBUTE_MASK, whole = (length + 3) & ~(size_t)3;
		if (length < 4 || length > left) return;
		if (number < ATTRIBUTES_MAX) into[number] = (struct attribute){ at + 4, length - 4 };
		if (whole >= left) return;
		at += whole;
		left -= whole;
	}
}

static uint32_t attribute_u32(const struct attribute *attribute, uint32_t standard)
{
	return attribute->length >= 4 ? get_u32(attribute->bytes) : standard;
}

static void attribute_text(const struct attribute *attribute, char *into, size_t size)
{
	text_clean(into, size, attribute->bytes, attribute->length == 0 ? 0 : strnlen((const char *)attribute->bytes, attribute->length));
}

static void take_link(struct seen *seen, const uint8_t *body, size_t length)
{
	struct attribute all[ATTRIBUTES_MAX], info[ATTRIBUTES_MAX];
	if (length < 16 || seen->link_count == LINKS_MAX) return;
	attributes_read(body + 16, length - 16, all);
	attributes_read(all[IFLA_LINKINFO].bytes, all[IFLA_LINKINFO].length, info);
	struct link_seen *one = &seen->links[seen->link_count++];
	*one = (struct link_seen){ .index = get_u32(body + 4), .mtu = attribute_u32(&all[IFLA_MTU], 1500), .type = get_u16(body + 2), .has_mac = all[IFLA_ADDRESS].length == 6 };
	if (one->has_mac) memcpy(one->mac, all[IFLA_ADDRESS].bytes, 6);
	attribute_text(&all[IFLA_IFNAME], one->name, sizeof one->name);
	attribute_text(&info[IFLA_INFO_KIND], one->kind, sizeof one->kind);
}

static void take_address(struct seen *seen, const uint8_t *body, size_t length)
{
	struct attribute all[ATTRIBUTES_MAX];
	if (length < 8 || seen->address_count == ADDRESSES_MAX) return;
	attributes_read(body + 8, length - 8, all);
	// Of a link to one other host IFA_ADDRESS is that host's.
	const struct attribute *own = all[IFA_LOCAL].length > 0 ? &all[IFA_LOCAL] : &all[IFA_ADDRESS];
	if (own->length != (body[0] == AF_INET ? 4 : body[0] == AF_INET6 ? 16 : SIZE_MAX)) return;
	struct address *one = &seen->addresses[seen->address_count++];
	*one = (struct address){ .index = get_u32(body + 4), .family = body[0], .prefix = body[1], .scope = body[3] };
	memcpy(one->bytes, own->bytes, own->length);
}

static void print_address(FILE *out, int family, const uint8_t *bytes)
{
	char text[INET6_ADDRSTRLEN];
	if (inet_ntop(family, bytes, text, sizeof text) != NULL) fputs(text, out);
}

static const char *name_of(const struct seen *seen, uint32_t index)
{
	for (size_t i = 0; i < seen->link_count; i++)
		if (seen->links[i].index == index) return seen->links[i].name;
	return "";
}

static void take_route(struct seen *seen, const uint8_t *body, size_t length)
{
	struct attribute all[ATTRIBUTES_MAX];
	char name[40];
	if (length < 12 || body[0] != seen->family) return; // a kernel without one family answers with the other's
	attributes_read(body + 12, length - 12, all);
	size_t bytes = body[0] == AF_INET ? 4 : 16;
	bool main_table = attribute_u32(&all[RTA_TABLE], body[4]) == RT_TABLE_MAIN;
	// Routes by several ways, and those that lead nowhere, are nothing a guest is given.
	if (!main_table || body[7] != RTN_UNICAST || (get_u32(body + 8) & RTM_F_CLONED) != 0 || all[RTA_OIF].length < 4) return;
	if (body[1] > 0 && all[RTA_DST].length != bytes) return;
	fputs(seen->route_count++ == 0 ? "{\"dst\":\"" : ",{\"dst\":\"", seen->out);
	if (body[1] == 0) fputs("default", seen->out);
	else {
		print_address(seen->out, body[0], all[RTA_DST].bytes);
		fprintf(seen->out, "/%u", body[1]);
	}
	if (all[RTA_GATEWAY].length == bytes) {
		fputs("\",\"gateway\":\"", seen->out);
		print_address(seen->out, body[0], all[RTA_GATEWAY].bytes);
	}
	json_text(name, sizeof name, name_of(seen, get_u32(all[RTA_OIF].bytes)));
	fprintf(seen->out, "\",\"dev\":\"%s\"%s}", name, body[5] == RTPROT_KERNEL ? ",\"protocol\":\"kernel\"" : "");
}

// Asks for everything of one kind. 0, or -1 with errno.
static int dump(int fd, uint16_t type, uint8_t family, struct seen *seen, uint16_t answer, void (*take)(struct seen *seen, const uint8_t *body, size_t length))
{
	static uint8_t bytes[64 << 10];
	static uint32_t sequence;
	uint8_t request[16 + 16] = { 0 }; // nlmsghdr, and the largest of the heads
	put_u32(request, sizeof request);
	put_u16(request + 4, type);
	put_u16(request + 6, NLM_F_REQUEST | NLM_F_DUMP);
	put_u32(request + 8, ++sequence);
	request[16] = family;
	if (send(fd, request, sizeof request, 0) < 0) return -1;
	for (int i = 0; i < ANSWERS_MAX; i++) {
		ssize_t got = recv(fd, bytes, sizeof bytes, 0);
		if (got < 0) return -1;
		for (size_t at = 0, left = (size_t)got; left >= 16;) {
			size_t length = get_u32(bytes + at), whole = (length + 3) & ~(size_t)3;
			uint16_t kind = get_u16(bytes + at + 4);
			if (length < 16 || length > left) break;
			if (kind == NLMSG_DONE) return 0;
			if (kind == NLMSG_ERROR) return errno = length >= 20 ? -(int)get_u32(bytes + at + 16) : EPROTO, -1;
			if (kind == answer && get_u32(bytes + at + 8) == sequence) take(seen, bytes + at + 16, length - 16);
			if (whole >= left) break;
			at += whole;
			left -= whole;
		}
	}
	return errno = EMSGSIZE, -1;
}

static void print_links(const struct seen *seen)
{
	char name[40], kind[40];
	fputc('[', seen->out);
	for (size_t i = 0; i < seen->link_count; i++) {
		const struct link_seen *one = &seen->links[i];
		json_text(name, sizeof name, one->name);
		json_text(kind, sizeof kind, one->kind);
		fprintf(seen->out, "%s{\"ifname\":\"%s\",\"link_type\":\"%s\",\"mtu\":%u,\"addr_info\":[", i == 0 ? "" : ",", name, one->type == ARPHRD_ETHER ? "ether" : one->type == ARPHRD_LOOPBACK ? "loopback" : "other", one->mtu);
		bool first = true;
		for (size_t j = 0; j < seen->address_count; j++) {
			const struct address *address = &seen->addresses[j];
			if (address->index != one->index) continue;
			fprintf(seen->out, "%s{\"family\":\"%s\",\"prefixlen\":%u,\"scope\":\"%s\",\"local\":\"", first ? "" : ",", address->family == AF_INET ? "inet" : "inet6", address->prefix, address->scope == RT_SCOPE_LINK ? "link" : "global");
			print_address(seen->out, address->family, address->bytes);
			fputs("\"}", seen->out);
			first = false;
		}
		fputc(']', seen->out);
		if (one->has_mac) fprintf(seen->out, ",\"address\":\"%02x:%02x:%02x:%02x:%02x:%02x\"", one->mac[0], one->mac[1], one->mac[2], one->mac[3], one->mac[4], one->mac[5]);
		if (kind[0] != '\0') fprintf(seen->out, ",\"linkinfo\":{\"info_kind\":\"%s\"}", kind);
		fputc('}', seen->out);
	}
	fputs("]\n", seen->out);
}

static int print_routes(int fd, struct seen *seen, uint8_t family)
{
	seen->route_count = 0;
	seen->family = family;
	fputc('[', seen->out);
	int result = dump(fd, RTM_GETROUTE, family, seen, RTM_NEWROUTE, take_route);
	fputs("]\n", seen->out);
	return result;
}

static int describe(const char *netns, struct seen *seen)
{
	int namespace = open(netns, O_RDONLY | O_CLOEXEC);
	if (namespace < 0 || setns(namespace, CLONE_NEWNET) < 0) return -1;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0 || dump(fd, RTM_GETLINK, AF_UNSPEC, seen, RTM_NEWLINK, take_link) < 0 || dump(fd, RTM_GETADDR, AF_UNSPEC, seen, RTM_NEWADDR, take_address) < 0) return -1;
	print_links(seen);
	return print_routes(fd, seen, AF_INET) < 0 || print_routes(fd, seen, AF_INET6) < 0 ? -1 : 0;
}

int network_print(const char *netns, int fd)
{
	static struct seen seen;
	char *text = NULL;
	size_t length = 0, at = 0;
	if ((seen.out = open_memstream(&text, &length)) == NULL) return 1;
	int result = describe(netns, &seen), error = errno;
	if (fclose(seen.out) != 0) return 1;
	if (result < 0) {
		dprintf(fd, "error %s\n", strerror(error));
		return 1;
	}
	while (at < length) {
		ssize_t sent = write(fd, text + at, length - at);
		if (sent < 0 && errno != EINTR) return 1;
		if (sent > 0) at += (size_t)sent;
	}
	return 0;
}
