// The guest's way to the container's network namespace: a tap beside the link that CNI made, each redirecting all it receives to the other
// (tc ingress, u32 that matches everything, mirred). It must only ever work inside the namespace it was told.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "monitor.h"

// Of linux/{if_tun,netlink,rtnetlink,pkt_sched,pkt_cls}.h, which musl's headers come without.
#define TUNSETIFF 0x400454ca
#define IFF_TAP 0x0002
#define IFF_NO_PI 0x1000
#define IFF_VNET_HDR 0x4000
#define NETLINK_ROUTE 0
#define NLM_F_REQUEST 0x001
#define NLM_F_ACK 0x004
#define NLM_F_EXCL 0x200
#define NLM_F_CREATE 0x400
#define NLMSG_ERROR 2
#define RTM_SETLINK 19
#define IFLA_NET_NS_FD 28u
#define RTM_NEWQDISC 36
#define RTM_DELQDISC 37
#define RTM_NEWTFILTER 44
#define TC_H_INGRESS 0xfffffff1u
#define INGRESS_HANDLE 0xffff0000u
#define TCA_KIND 1
#define TCA_OPTIONS 2
#define TCA_U32_SEL 5
#define TCA_U32_ACT 7
#define TCA_ACT_KIND 1
#define TCA_ACT_OPTIONS 2
#define TCA_MIRRED_PARMS 2
#define TC_ACT_STOLEN 4
#define TCA_EGRESS_REDIR 1
#define ALL_PROTOCOLS 0x0300u // htons(ETH_P_ALL)

struct message {
	uint32_t length;
	uint16_t type, flags;
	uint32_t sequence, pid;
	uint8_t family, zero[3];
	int32_t ifindex;
	uint32_t handle, parent, info;
	uint8_t attributes[256];
};

#define HEADER_BYTES offsetof(struct message, attributes)

// Begins an attribute; nested ones are closed by attribute_end.
static size_t attribute(struct message *message, uint16_t type, const void *data, size_t length)
{
	size_t at = message->length - HEADER_BYTES;
	put_u16(message->attributes + at, (uint16_t)(4 + length));
	put_u16(message->attributes + at + 2, type);
	if (length > 0) memcpy(message->attributes + at + 4, data, length);
	message->length += (uint32_t)(4 + ((length + 3) & ~(size_t)3));
	return at;
}

static void attribute_end(struct message *message, size_t at)
{
	put_u16(message->attributes + at, (uint16_t)(message->length - HEADER_BYTES - at));
}

// Sends one request and waits for the kernel's answer, which is immediate. 0, or -1 with errno.
static int ask(int fd, struct message *message)
{
	static uint32_t sequence;
	struct {
		uint32_t length;
		uint16_t type, flags;
		uint32_t sequence, pid;
		int32_t error;
		uint8_t rest[1024];
	} answer;
	message->sequence = ++sequence;
	if (send(fd, message, message->length, 0) < 0) return -1;
	for (int i = 0; i < 16; i++) {
		ssize_t got = recv(fd, &answer, sizeof answer, 0);
		if (got < 0) return -1;
		if (got < 20 || answer.type != NLMSG_ERROR || answer.sequence != sequence) continue;
		errno = -answer.error;
		return answer.error == 0 ? 0 : -1;
	}
	errno = EPROTO;
	return -1;
}

static struct message request(uint16_t type, uint16_t flags, int ifindex)
{
	return (struct message){ .length = HEADER_BYTES, .type = type, .flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags), .ifindex = ifindex };
}

static int ingress_remove(int fd, int ifindex)
{
	struct message message = request(RTM_DELQDISC, 0, ifindex);
	message.parent = TC_H_INGRESS;
	message.handle = INGRESS_HANDLE;
	return ask(fd, &message);
}

static int redirect(int fd, int from, int to)
{
	// One of an earlier monitor that was killed leads to a tap that is no more.
	(void)ingress_remove(fd, from);
	struct message qdisc = request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, from);
	qdisc.parent = TC_H_INGRESS;
	qdisc.handle = INGRESS_HANDLE;
	attribute(&qdisc, TCA_KIND, "ingress", sizeof "ingress");
	if (ask(fd, &qdisc) < 0) return -1;
	struct message filter = request(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, from);
	filter.parent = INGRESS_HANDLE;
	filter.info = 1u << 16 | ALL_PROTOCOLS;
	attribute(&filter, TCA_KIND, "u32", sizeof "u32");
	size_t options = attribute(&filter, TCA_OPTIONS, NULL, 0);
	size_t actions = attribute(&filter, TCA_U32_ACT, NULL, 0);
	size_t action = attribute(&filter, 1, NULL, 0);
	attribute(&filter, TCA_ACT_KIND, "mirred", sizeof "mirred");
	size_t parameters = attribute(&filter, TCA_ACT_OPTIONS, NULL, 0);
	// struct tc_mirred: index, capabilities, action, reference and bind counts, what to do, where to.
	uint32_t mirred[7] = { 0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, (uint32_t)to };
	attribute(&filter, TCA_MIRRED_PARMS, mirred, sizeof mirred);
	attribute_end(&filter, parameters);
	attribute_end(&filter, action);
	attribute_end(&filter, actions);
	// struct tc_u32_sel: flags (terminal), shift, number of keys, then one key whose mask is zero: everything matches.
	uint8_t selector[32] = { 1, 0, 1 };
	attribute(&filter, TCA_U32_SEL, selector, sizeof selector);
	attribute_end(&filter, options);
	return ask(fd, &filter);
}

static int index_of(int fd, const char *name)
{
	struct ifreq asked = { 0 };
	strncpy(asked.ifr_name, name, IFNAMSIZ - 1);
	return ioctl(fd, SIOCGIFINDEX, &asked) < 0 ? -1 : asked.ifr_ifindex;
}

// Up, and as large in its frames as the link.
static int bring_up(int fd, const char *tap, const char *link)
{
	struct ifreq mtu = { 0 }, flags = { 0 };
	strncpy(mtu.ifr_name, link, IFNAMSIZ - 1);
	if (ioctl(fd, SIOCGIFMTU, &mtu) < 0) return -1;
	memset(mtu.ifr_name, 0, IFNAMSIZ);
	strncpy(mtu.ifr_name, tap, IFNAMSIZ - 1);
	if (ioctl(fd, SIOCSIFMTU, &mtu) < 0) return -1;
	// The host's own end of the tap has nothing to say to the guest. Where there is no IPv6 there is no such file.
	char path[96];
	snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", tap);
	int file = open(path, O_WRONLY | O_CLOEXEC);
	if (file >= 0) {
		ssize_t ignored = write(file, "1", 1);
		(void)ignored;
		close(file);
	}
	strncpy(flags.ifr_name, tap, IFNAMSIZ - 1);
	if (ioctl(fd, SIOCGIFFLAGS, &flags) < 0) return -1;
	flags.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &flags);
}

static int fail(char *why, size_t why_size, const char *what)
{
	snprintf(why, why_size, "network: %s: %s", what, strerror(errno));
	return -1;
}

int tap_wire(const struct config *config, char *why, size_t why_size)
{
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int result = 0, tap = -1, link = -1;
	if (control < 0 || netlink < 0) result = fail(why, why_size, "socket");
	else if ((link = index_of(control, config->link)) < 0) result = fail(why, why_size, config->link);
	else if ((tap = index_of(control, config->tap)) < 0 || bring_up(control, config->tap, config->link) < 0) result = fail(why, why_size, config->tap);
	else if (!config->shared && (redirect(netlink, link, tap) < 0 || redirect(netlink, tap, link) < 0)) result = fail(why, why_size, "redirect (tc ingress, u32, mirred)");
	if (control >= 0) close(control);
	if (netlink >= 0) close(netlink);
	return result;
}

int tap_open(const struct config *config, char *why, size_t why_size)
{
	struct ifreq name = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) };
	strncpy(name.ifr_name, config->tap, IFNAMSIZ - 1);
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) return fail(why, why_size, "/dev/net/tun");
	if (ioctl(fd, TUNSETIFF, &name) == 0) return fd;
	(void)fail(why, why_size, config->tap);
	close(fd);
	return -1;
}

int tap_move(const struct config *config, int netns)
{
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int tap = control < 0 || netlink < 0 ? -1 : index_of(control, config->tap), result = -1;
	if (tap >= 0) {
		// A struct ifinfomsg ends where a struct tcmsg has its last number: that is the head of the one attribute here.
		struct message message = request(RTM_SETLINK, 0, tap);
		message.info = 8u | IFLA_NET_NS_FD << 16;
		put_u32(message.attributes, (uint32_t)netns);
		message.length = HEADER_BYTES + 4;
		result = ask(netlink, &message);
	}
	int error = errno;
	if (control >= 0) close(control);
	if (netlink >= 0) close(netlink);
	errno = error;
	return result;
}

void tap_remove(const struct config *config)
{
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int link = control < 0 ? -1 : index_of(control, config->link);
	// The namespace may be on its way out, and the link gone with it: then so is the redirect.
	if (link >= 0 && netlink >= 0) (void)ingress_remove(netlink, link);
	if (control >= 0) close(control);
	if (netlink >= 0) close(netlink);
}
