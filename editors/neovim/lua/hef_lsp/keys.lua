-- Keys of insert mode, in buffers with hef-lsp only. A key with nothing to do goes on to what it
-- was before: a mapping of the user or of another plugin, or itself.
local M = {}

local ACTIONS = { 'accept', 'accept_word', 'accept_line', 'next', 'previous', 'dismiss' }

---@type table<integer, string[]>
local mapped = {}

-- What the key did before, as keys to feed; a buffer's own mapping hides ours and is left alone.
---@param before table<string, any>
---@param lhs string
local function pass_on(before, lhs)
  local keys = vim.keycode(lhs)
  if vim.tbl_isempty(before) then
    vim.api.nvim_feedkeys(keys, 'ni', false) -- before what was typed after it
    return
  end
  local result = nil
  if before.callback then
    result = before.callback()
  elseif before.expr == 1 then
    result = vim.api.nvim_eval(before.rhs)
  else
    result = before.rhs
  end
  local is_raw = before.callback and before.expr ~= 1
  if not is_raw and type(result) == 'string' and result ~= '' then
    local mode = before.noremap == 1 and 'ni' or 'mi'
    local is_coded = before.expr ~= 1 or before.replace_keycodes == 1
    vim.api.nvim_feedkeys(is_coded and vim.keycode(result) or result, mode, false)
  end
end

---@param bufnr integer
---@param keys hef_lsp.Keys
function M.map(bufnr, keys)
  M.unmap(bufnr)
  mapped[bufnr] = {}
  for _, action in ipairs(ACTIONS) do
    local lhs = keys[action]
    if lhs then
      vim.keymap.set('i', lhs, function()
        local in_list = action == 'accept'
          and vim.fn.pumvisible() == 1
          and vim.fn.complete_info({ 'selected' }).selected >= 0
        if in_list or not require('hef_lsp')[action]() then
          pass_on(M.global(lhs), lhs)
        end
      end, { buffer = bufnr, desc = 'hef-lsp: ' .. action:gsub('_', ' ') })
      table.insert(mapped[bufnr], lhs)
    end
  end
end

-- The global mapping of the key, read when it is pressed: other plugins may map it later.
---@param lhs string
---@return table<string, any>
function M.global(lhs)
  local wanted = vim.keycode(lhs)
  for _, mapping in ipairs(vim.api.nvim_get_keymap('i')) do
    if vim.keycode(mapping.lhs) == wanted then
      return mapping
    end
  end
  return {}
end

---@param bufnr integer
function M.unmap(bufnr)
  for _, lhs in ipairs(mapped[bufnr] or {}) do
    pcall(vim.keymap.del, 'i', lhs, { buffer = bufnr })
  end
  mapped[bufnr] = nil
end

return M
