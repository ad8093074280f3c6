// runv make-template MACHINE: what create starts in the background, so that the next machine of this shape is a clone.
import { readConfig } from '../config.ts';
import { Failure } from '../failure.ts';
import type { Globals } from '../globals.ts';
import { makeTemplate, sweepTemplates, type TemplatableMachine } from '../machine/template.ts';

const kept = 16;

export async function run([text]: readonly string[], { root }: Globals): Promise<number> {
  if (text === undefined) throw new Failure('usage', 'runv make-template MACHINE');
  const config = await readConfig(root);
  await makeTemplate(config.templateDir, JSON.parse(text) as TemplatableMachine, { user: { uid: config.uid, gid: config.gid } });
  await sweepTemplates(config.templateDir, kept);
  return 0;
}
