// Removing what may not be there any more.
import { isContainerdError } from '@pouch/containerd';

/** What is not there need not be removed. */
export async function gone(removal: Promise<unknown>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if (!isContainerdError(error, 'not-found')) throw error;
  }
}
