// Docker's endpoints that are not there yet, by the names of Docker's API reference: each answers 501 with its name, so that a client
// learns what is missing instead of a page that was not found. Whoever builds one takes its line out.
import type { FastifyInstance, HTTPMethods } from 'fastify';
import { notThereYet } from '../errors.ts';

const endpoints: readonly (readonly [name: string, method: HTTPMethods, path: string])[] = [
  ['ContainerChanges', 'GET', '/containers/:id/changes'],
  ['ContainerExport', 'GET', '/containers/:id/export'],
  ['ContainerUpdate', 'POST', '/containers/:id/update'],
  ['SystemAuth', 'POST', '/auth'],
  ['ImageBuild', 'POST', '/build'],
  ['BuildPrune', 'POST', '/build/prune'],
  ['ImageCommit', 'POST', '/commit'],
  ['ImageSearch', 'GET', '/images/search'],
  ['ImageGetAll', 'GET', '/images/get'],
  ['DistributionInspect', 'GET', '/distribution/*'],
  ['Session', 'POST', '/session'],
  ['Grpc', 'POST', '/grpc'],
  ['NetworkDelete', 'DELETE', '/networks/:id'],
  ['NetworkCreate', 'POST', '/networks/create'],
  ['NetworkConnect', 'POST', '/networks/:id/connect'],
  ['NetworkDisconnect', 'POST', '/networks/:id/disconnect'],
  ['NetworkPrune', 'POST', '/networks/prune'],
  ['VolumeUpdate', 'PUT', '/volumes/:name'],
  ['SwarmInspect', 'GET', '/swarm'],
  ['SwarmInit', 'POST', '/swarm/init'],
  ['SwarmJoin', 'POST', '/swarm/join'],
  ['SwarmLeave', 'POST', '/swarm/leave'],
  ['SwarmUpdate', 'POST', '/swarm/update'],
  ['SwarmUnlockkey', 'GET', '/swarm/unlockkey'],
  ['SwarmUnlock', 'POST', '/swarm/unlock'],
  ['NodeDelete', 'DELETE', '/nodes/:id'],
  ['NodeUpdate', 'POST', '/nodes/:id/update'],
  ['SecretUpdate', 'POST', '/secrets/:id/update'],
  ['ConfigList', 'GET', '/configs'],
  ['ConfigCreate', 'POST', '/configs/create'],
  ['ConfigInspect', 'GET', '/configs/:id'],
  ['ConfigDelete', 'DELETE', '/configs/:id'],
  ['ConfigUpdate', 'POST', '/configs/:id/update'],
  ['PluginList', 'GET', '/plugins'],
  ['GetPluginPrivileges', 'GET', '/plugins/privileges'],
  ['PluginPull', 'POST', '/plugins/pull'],
  ['PluginCreate', 'POST', '/plugins/create'],
  ['PluginAny', 'GET', '/plugins/*'],
  ['PluginAny', 'POST', '/plugins/*'],
  ['PluginDelete', 'DELETE', '/plugins/*'],
];

/** `METHOD path` of each. */
export const endpointsNotThere: readonly string[] = endpoints.map(([, method, path]) => `${method} ${path}`);

export async function notThereRoutes(app: FastifyInstance): Promise<void> {
  for (const [name, method, url] of endpoints) {
    app.route({ method, url, schema: { hide: true }, handler: () => { throw notThereYet(`${name} (${method} ${url.replace(/:(\w+)/g, '{$1}')})`); } });
  }
}
