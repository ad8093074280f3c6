// Whether an image is a shell and nothing else. `create` without a command asks: such a container is of no use without stdin and a terminal.

/** Programs that end at once without an open stdin, so a container of one is only of use with a terminal. */
const shells: readonly string[] = ['sh', 'bash', 'ash', 'dash', 'zsh', 'fish', 'ksh', 'csh', 'tcsh'];

/** Whether an image started as it is runs an interactive shell and nothing else. */
export function runsShell(config: { readonly Entrypoint?: readonly string[] | null; readonly Cmd?: readonly string[] | null } | null | undefined): boolean {
  const words = [...(config?.Entrypoint ?? []), ...(config?.Cmd ?? [])];
  const program = words[0]?.split('/').at(-1) ?? '';
  return words.length === 1 && shells.includes(program);
}
