// The OpenAPI document, generated from the schemas of the routes, and where it is served.
import type { FastifyInstance } from 'fastify';
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import { apiVersion } from './http/version.ts';
import { engineVersion } from './system/version.ts';

export const openApiInfo: FastifyDynamicSwaggerOptions = {
  openapi: {
    openapi: '3.1.0',
    info: { title: 'Pouch', description: `The Docker Engine API ${apiVersion} for a cluster of hosts, and what Docker has no word for under /cluster/.`, version: engineVersion },
    // Every path is also served under /v1.24 to /v1.43.
    servers: [{ url: '/' }],
  },
};

export async function openApiRoutes(app: FastifyInstance): Promise<void> {
  for (const path of ['/openapi.json', '/cluster/openapi.json']) {
    app.get(path, { schema: { hide: true } }, async () => app.swagger());
  }
}
