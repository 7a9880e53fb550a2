-- The plugin's options: `vim.g.hef_lsp` or `setup()` over the defaults. The server's own settings
-- are not here: they go through `vim.lsp.config('hef_lsp', { settings = { hef = { ... } } })`.
local M = {}

---@alias hef_lsp.Backend 'auto'|'native'|'extmark'

---@class hef_lsp.Keys
---@field accept? string|false
---@field accept_word? string|false
---@field accept_line? string|false
---@field next? string|false
---@field previous? string|false
---@field dismiss? string|false

---@class hef_lsp.Options
---@field ghost_text? boolean Show suggestions as ghost text.
---@field backend? hef_lsp.Backend Who draws: Neovim 0.12 itself, or this plugin; `auto` takes Neovim.
---@field completion? boolean Offer suggestions in the built-in completion list as one types.
---@field keys? hef_lsp.Keys|false Keys in insert mode; `false` maps none.

---@type hef_lsp.Options
M.defaults = {
  ghost_text = true,
  backend = 'auto',
  completion = false,
  keys = {
    accept = '<Tab>',
    accept_word = '<M-w>',
    accept_line = '<M-l>',
    next = '<M-n>',
    previous = '<M-p>',
    dismiss = '<M-e>',
  },
}

---@return hef_lsp.Options
function M.get()
  return vim.tbl_deep_extend('force', M.defaults, vim.g.hef_lsp or {})
end

---@param options hef_lsp.Options
---@return string[] problems One line for each option that is not known or has the wrong type.
function M.problems(options)
  local found = {}
  local function check(given, known, prefix)
    for name, value in pairs(given) do
      if known[name] == nil then
        table.insert(found, ('unknown option: %s%s'):format(prefix, name))
      elseif value ~= false and type(value) ~= type(known[name]) then
        table.insert(found, ('%s%s: expected a %s'):format(prefix, name, type(known[name])))
      elseif type(value) == 'table' then
        check(value, known[name], prefix .. name .. '.')
      end
    end
  end
  check(options, M.defaults, '')
  if not vim.list_contains({ 'auto', 'native', 'extmark' }, options.backend or 'auto') then
    table.insert(found, "backend: expected 'auto', 'native' or 'extmark'")
  end
  return found
end

---@return boolean native Whether Neovim itself draws the ghost text.
function M.is_native()
  local backend = M.get().backend
  return backend ~= 'extmark' and vim.lsp.inline_completion ~= nil
end

return M
