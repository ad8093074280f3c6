// What several routes look up the same way: a container by its name, with Docker's words where there is none.
import type { Container } from '@pouch/domain';
import type { Stored } from '@pouch/projections';
import { HttpError } from '../errors.ts';
import type { Projection } from '../projection/projection.ts';

/** By id, unambiguous beginning of one, or name. 404 and 400 as Docker words them. */
export function requireContainer(projection: Projection, reference: string): Stored<Container> {
  const resolved = projection.present.resolveContainer(reference);
  if (resolved.ok) return resolved.container;
  throw new HttpError(resolved.code === 'ambiguous' ? 400 : 404, resolved.message);
}
