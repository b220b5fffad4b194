FROM node:22-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
# The build runs in its own step, once the sources are there.
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM node:22-slim
WORKDIR /app
COPY --from=build /build/package.json /build/LICENSE ./
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
# Served at /docs.
COPY --from=build /build/docs ./docs
RUN ln -s /app/dist/cli/main.js /usr/local/bin/pike \
  && chmod +x dist/cli/main.js \
  && install -d -o node -g node -m 0700 /data

# Inside a container loopback reaches nobody. Who may reach the API is decided by what is published:
# docker-compose.yml publishes it on the host's 127.0.0.1 only.
ENV NODE_ENV=production \
    PIKE_DATA_DIR=/data \
    PIKE_API_HOST=0.0.0.0

USER node
VOLUME /data
# API for back ends; Pike, also over TLS; MQTT, also over TLS and WebSocket
EXPOSE 8080 7450 7451 1883 8883 8083 5683/udp 8081 8443
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PIKE_API_PORT || 8080}/readyz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/cli/main.js", "serve"]
