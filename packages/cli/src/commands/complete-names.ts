// `pouch __complete`: names for the shells' completions, one a line. Silent where nobody answers: a shell must not print errors while someone types.
import type { ClusterServices } from '@pouch/contracts';
import type { Context } from '../context.ts';
import type { ContainerItem, ImageItem } from '../engine/shapes.ts';

export async function completeNames(context: Context, kind: string): Promise<number> {
  try {
    const client = await context.client();
    const names: string[] = [];
    if (kind === 'containers' || kind === 'running' || kind === 'names') {
      const items = await client.json<ContainerItem[]>('GET', '/containers/json', { query: { all: kind === 'running' ? undefined : 1 } });
      for (const item of items) for (const name of item.Names ?? []) names.push(name.replace(/^\//, ''));
    }
    if (kind === 'images' || kind === 'names') {
      const items = await client.json<ImageItem[]>('GET', '/images/json');
      for (const item of items) for (const tag of item.RepoTags ?? []) if (tag !== '<none>:<none>') names.push(tag);
    }
    if (kind === 'services') for (const { name } of (await client.json<ClusterServices>('GET', '/cluster/services')).services) names.push(name);
    if (kind === 'volumes') for (const { Name } of (await client.json<{ Volumes: { Name: string }[] }>('GET', '/volumes')).Volumes) names.push(Name);
    process.stdout.write(names.map((name) => `${name}\n`).join(''));
    return 0;
  } catch {
    // No names is the right completion where the API is away.
    return 1;
  }
}
