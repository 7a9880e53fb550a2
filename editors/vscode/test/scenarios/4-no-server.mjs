// No server anywhere: said once, with what can be done; a wrong path is named; the walkthrough opens.

export const host = () => ({
  environment: { PATH: "/usr/bin:/bin" },
  settings: { "hef.server.usePythonEnvironment": false },
});

export default async function (editor, step) {
  await editor.waitForStatus(/hef: no server/);
  const offer = editor.notification("the server was not found");
  await offer.getByRole("button", { name: "Set Up", exact: true }).waitFor();
  step("setting it up is offered");
  await offer.getByRole("button", { name: "Name Its Path" }).click();
  const field = editor.page.locator(".settings-editor input[type='text']").first();
  await field.fill("relative/hef-lsp");
  await field.press("Enter");
  await editor.waitForStatus(/hef: error/);
  step("a path that is not absolute is an error in the status bar");
  await editor.picture("wrong-path");

  await editor.command("Welcome: Open Walkthrough");
  await editor.pick("Complete code with the whole repository");
  await editor.page.locator(".getting-started-step", { hasText: "Have the server" }).first().waitFor();
  step("the walkthrough opens");
  await editor.picture("walkthrough");
}
