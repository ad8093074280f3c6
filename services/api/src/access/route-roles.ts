// Which role each route needs. A test holds this table against the routes: one that is missing here needs admin until somebody has decided.
import type { Role } from '@pouch/domain';
import { endpointsNotThere } from '../system/not-there.ts';

const read = [
  'GET /_ping', 'HEAD /_ping', 'GET /version', 'GET /info', 'GET /system/df', 'GET /events', 'GET /openapi.json', 'GET /cluster/openapi.json', 'GET /cluster/whoami',
  'GET /containers/json', 'GET /containers/:id/json', 'GET /containers/:id/top', 'GET /containers/:id/stats', 'GET /containers/:id/logs', 'POST /containers/:id/wait', 'GET /exec/:id/json',
  'GET /images/json', 'GET /images/:name/json', 'GET /images/:name/history', 'GET /images/:name/get', 'GET /images/*',
  'GET /cluster/hosts', 'GET /cluster/health', 'GET /cluster/events', 'GET /cluster/containers', 'GET /cluster/containers/:id', 'GET /cluster/containers/:id/history', 'GET /cluster/containers/:id/console',
  'GET /cluster/kernels', 'GET /cluster/kernels/:name', 'GET /cluster/policy', 'GET /secrets', 'GET /secrets/:id', 'GET /volumes', 'GET /volumes/:name', 'GET /networks', 'GET /networks/:id',
  'GET /services', 'GET /services/:id', 'GET /services/:id/logs', 'GET /tasks', 'GET /tasks/:id', 'GET /tasks/:id/logs', 'GET /nodes', 'GET /nodes/:id', 'GET /cluster/services', 'GET /cluster/services/:id',
  ...endpointsNotThere,
];
const operate = [
  'POST /containers/create', 'POST /containers/:id/start', 'POST /containers/:id/stop', 'POST /containers/:id/restart', 'POST /containers/:id/kill', 'POST /containers/:id/pause', 'POST /containers/:id/unpause',
  'POST /containers/:id/rename', 'POST /containers/:id/resize', 'POST /containers/:id/attach', 'GET /containers/:id/attach/ws', 'POST /containers/prune', 'DELETE /containers/:id',
  'GET /containers/:id/archive', 'HEAD /containers/:id/archive', 'PUT /containers/:id/archive', 'POST /containers/:id/exec', 'POST /exec/:id/start', 'POST /exec/:id/resize',
  'POST /images/create', 'POST /images/load', 'POST /images/prune', 'POST /images/:name/tag', 'POST /images/:name/push', 'POST /images/*', 'DELETE /images/:name', 'DELETE /images/*',
  'POST /volumes/create', 'POST /volumes/prune', 'DELETE /volumes/:name',
  'POST /services/create', 'POST /services/:id/update', 'DELETE /services/:id',
  'POST /cluster/services', 'POST /cluster/services/:id/update', 'POST /cluster/services/:id/rollback', 'DELETE /cluster/services/:id',
  'GET /cluster/verify', 'POST /cluster/kernels/:name/probe',
];
const admin = [
  'POST /cluster/rebuild', 'GET /cluster/backup', 'POST /cluster/kernels', 'DELETE /cluster/kernels/:name',
  'POST /cluster/hosts/:id/labels', 'POST /cluster/hosts/:id/cordon', 'POST /cluster/hosts/:id/uncordon', 'POST /cluster/hosts/:id/drain', 'DELETE /cluster/hosts/:id', 'GET /cluster/hosts/:id/unknown', 'POST /cluster/hosts/:id/unknown/:container/adopt', 'DELETE /cluster/hosts/:id/unknown/:container',
  'GET /cluster/join-tokens', 'POST /cluster/join-tokens', 'DELETE /cluster/join-tokens/:name', 'GET /cluster/tokens', 'POST /cluster/tokens', 'DELETE /cluster/tokens/:name', 'PUT /cluster/policy', 'POST /secrets/create', 'DELETE /secrets/:id', 'POST /cluster/secrets/reseal',
];

/** By method and the route's own path. */
export const routeRoles: ReadonlyMap<string, Role> = new Map<string, Role>([
  ...read.map((route) => [route, 'read'] as const), ...operate.map((route) => [route, 'operate'] as const), ...admin.map((route) => [route, 'admin'] as const),
]);
