// Asks the agent to stop its host's containers in order. It must not stop any itself.
import type { ClusterConfig } from './options.ts';

/** Answers why it could not be done, or undefined when no container runs any more. */
export async function shutdownContainers(_config: ClusterConfig): Promise<string | undefined> {
  return await Promise.resolve('not there yet');
}
