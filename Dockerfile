# One image for every process of Pouch; docker-compose.yml says which one a container runs.
FROM debian:13-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates gcc make musl-tools npm \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/pouch
COPY . .
RUN npm ci --no-audit --no-fund && npm run build

FROM debian:13-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends busybox-static ca-certificates containerd containernetworking-plugins iproute2 iptables nats-server procps runc \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/pouch /opt/pouch
RUN printf '#!/bin/sh\nexec /opt/pouch/node_modules/.bin/node /opt/pouch/packages/cli/src/main.ts "$@"\n' > /usr/local/bin/pouch && chmod +x /usr/local/bin/pouch
ENV NODE_ENV=production
WORKDIR /opt/pouch
CMD ["/usr/local/bin/pouch", "--help"]
