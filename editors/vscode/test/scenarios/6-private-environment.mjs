// The extension sets the server up in an environment of its own. Fetches gigabytes: only with HEF_TEST_INSTALL=1.

const MINUTES = 15;

export const host = () =>
  process.env.HEF_TEST_INSTALL ? { settings: { "hef.server.usePythonEnvironment": false } } : undefined;

export default async function (editor, step) {
  await editor.waitForStatus(/hef: no server/);
  const offer = editor.notification("the server was not found");
  await offer.getByRole("button", { name: "Set Up", exact: true }).click();
  await editor.notification("Collecting").waitFor({ timeout: 60_000 });
  await editor.picture("setting-up");
  step("pip works, and its lines are shown");
  await editor.waitForStatus(/hef: ready/, 60 * MINUTES);
  step("the server of the extension's own environment is ready");
}
