// SPDX-License-Identifier: Apache-2.0
#include "init.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static _Noreturn void wrong(const char *setting)
{
	init_fail("lupine_net needs ADDRESS/PREFIX[,GATEWAY], not", setting, 0);
}

static struct sockaddr address(in_addr_t value)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = value };
	struct sockaddr result;
	memcpy(&result, &in, sizeof(result));
	return result;
}

static void set_address(int fd, const char *interface, unsigned long request, in_addr_t value)
{
	struct ifreq ifr = { .ifr_addr = address(value) };
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", interface);
	if (ioctl(fd, (int)request, &ifr) != 0)
		init_fail("cannot set an address of", interface, errno);
}

static void set_up(int fd, const char *interface)
{
	struct ifreq ifr = { .ifr_flags = IFF_UP | IFF_RUNNING };
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", interface);
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) != 0)
		init_fail("cannot bring up", interface, errno);
}

static void set_gateway(int fd, in_addr_t gateway)
{
	struct rtentry route = {
		.rt_dst = address(INADDR_ANY),
		.rt_genmask = address(INADDR_ANY),
		.rt_gateway = address(gateway),
		.rt_flags = RTF_UP | RTF_GATEWAY,
	};
	if (ioctl(fd, SIOCADDRT, &route) != 0)
		init_fail("cannot set the default gateway", "", errno);
}

/* By ioctl, not by the kernel's ip=: that one waits for links and sleeps 20 ms and more. */
void net_configure(const char *setting)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		if (setting)
			init_fail("this kernel has no network, but lupine_net is given", "", 0);
		return;
	}
	set_up(fd, "lo");
	if (setting) {
		char text[64];
		if (snprintf(text, sizeof(text), "%s", setting) >= (int)sizeof(text))
			wrong(setting);
		char *gateway = text, *prefix = strsep(&gateway, ","), *ip = strsep(&prefix, "/"),
		     *end;
		in_addr_t own, via = 0;
		if (!prefix || *prefix < '0' || *prefix > '9' || inet_pton(AF_INET, ip, &own) != 1)
			wrong(setting);
		unsigned long bits = strtoul(prefix, &end, 10);
		if (*end || bits < 1 || bits > 32 ||
		    (gateway && inet_pton(AF_INET, gateway, &via) != 1))
			wrong(setting);
		set_address(fd, "eth0", SIOCSIFADDR, own);
		set_address(fd, "eth0", SIOCSIFNETMASK,
			    htonl((uint32_t)(0xffffffffUL << (32 - bits))));
		set_up(fd, "eth0");
		if (gateway)
			set_gateway(fd, via);
	}
	close(fd);
}
