// Two folders in one window: one server reads both, and the view draws both.

export const host = ({ server }) => ({
  machine: { "hef.server.path": server },
  others: { beside: "def beside(left, right):\n    return left + right\n" },
});

export default async function (editor, step) {
  await editor.waitForStatus(/hef: ready/);
  await editor.command("hef: Show the Hierarchy");
  const view = await editor.webview(".row");
  await view.locator(".row", { hasText: "module.py" }).waitFor({ timeout: 30_000 });
  await view.locator(".row", { hasText: "shop" }).waitFor();
  step("both folders are drawn");
  await view.locator(".row", { hasText: "module.py" }).click();
  await view.locator(".row", { hasText: "lines 1 to 2" }).click();
  await editor.page.locator(".tab.active", { hasText: "module.py" }).waitFor();
  step("a chunk of the second folder opens");
  await editor.picture("several-folders");
}
