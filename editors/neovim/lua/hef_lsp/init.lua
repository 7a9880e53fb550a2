-- What the user calls: setup, the actions on ghost text, and the statusline component.
local Config = require('hef_lsp.config')

local M = {}

---@type table<integer, boolean>
local attached = {}
local is_on = true
local is_prepared = false

-- The same as setting `vim.g.hef_lsp`; not needed where the defaults will do.
---@param options? hef_lsp.Options
function M.setup(options)
  vim.g.hef_lsp = options or {}
end

---@param bufnr integer
local function current(bufnr)
  return bufnr == 0 and vim.api.nvim_get_current_buf() or bufnr
end

---@param part fun(text: string): string
---@return boolean
local function accept(part)
  local bufnr = current(0)
  local taken = require('hef_lsp.ghost').accept(bufnr, part)
  return taken or (Config.is_native() and require('hef_lsp.native').accept(bufnr, part))
end

---@return boolean taken False where there was nothing to take.
function M.accept()
  return accept(function(text)
    return text
  end)
end

---@return boolean
function M.accept_word()
  return accept(require('hef_lsp.item').first_word)
end

---@return boolean
function M.accept_line()
  return accept(require('hef_lsp.item').first_line)
end

---@param step integer
---@return boolean
local function turn(step)
  local bufnr = current(0)
  if not require('hef_lsp.client').of(bufnr) then
    return false
  end
  if Config.is_native() then -- it has one suggestion only, and no way to ask for more
    require('hef_lsp.native').dismiss(bufnr)
  end
  vim.schedule(function() -- after Neovim, which drops every pending request with its own
    require('hef_lsp.ghost').turn(bufnr, step)
  end)
  return true
end

---@return boolean
function M.next()
  return turn(1)
end

---@return boolean
function M.previous()
  return turn(-1)
end

---@return boolean
function M.dismiss()
  local bufnr = current(0)
  local Ghost = require('hef_lsp.ghost')
  local was_visible = Ghost.is_visible(bufnr)
  Ghost.dismiss(bufnr)
  local was_native = Config.is_native() and require('hef_lsp.native').dismiss(bufnr)
  return was_visible or was_native
end

---@param bufnr? integer
---@return string
function M.statusline(bufnr)
  return require('hef_lsp.status').component(bufnr)
end

---@return boolean
function M.is_enabled()
  return is_on
end

-- Ghost text on or off, in all buffers.
---@param enabled? boolean Without it, it changes over.
function M.toggle(enabled)
  if enabled == nil then
    enabled = not is_on
  end
  is_on = enabled
  for bufnr in pairs(attached) do
    if Config.is_native() then
      require('hef_lsp.native').enable(bufnr, enabled)
    end
    require('hef_lsp.ghost').dismiss(bufnr)
  end
end

---@param bufnr integer
local function follow(bufnr)
  local group = vim.api.nvim_create_augroup('hef_lsp_' .. bufnr, {})
  local Ghost = require('hef_lsp.ghost')
  local events =
    { 'TextChangedI', 'TextChangedP', 'CursorMovedI', 'InsertEnter', 'CompleteChanged' }
  vim.api.nvim_create_autocmd(events, {
    group = group,
    buffer = bufnr,
    callback = vim.schedule_wrap(function()
      local here = vim.api.nvim_get_current_buf() == bufnr
      if here and vim.startswith(vim.api.nvim_get_mode().mode, 'i') then
        Ghost.refresh(bufnr, is_on and not Config.is_native())
      end
    end),
  })
  require('hef_lsp.cursor').follow(bufnr, group)
  vim.api.nvim_create_autocmd({ 'InsertLeave', 'BufLeave' }, {
    group = group,
    buffer = bufnr,
    callback = function()
      Ghost.dismiss(bufnr)
    end,
  })
end

---@param client vim.lsp.Client
---@param bufnr integer
function M.attach(client, bufnr)
  local options = Config.get()
  if options.completion then
    vim.lsp.completion.enable(true, client.id, bufnr, { autotrigger = true })
  end
  if not options.ghost_text then
    return
  end
  if not is_prepared then
    is_prepared = true
    require('hef_lsp.draw').define_highlights()
  end
  if options.keys then
    require('hef_lsp.keys').map(bufnr, options.keys)
  end
  attached[bufnr] = true
  follow(bufnr)
  if Config.is_native() and is_on then
    require('hef_lsp.native').enable(bufnr, true)
  end
end

---@param bufnr integer
function M.detach(bufnr)
  if attached[bufnr] then
    attached[bufnr] = nil
    pcall(vim.api.nvim_del_augroup_by_name, 'hef_lsp_' .. bufnr)
    require('hef_lsp.ghost').forget(bufnr)
    require('hef_lsp.keys').unmap(bufnr)
  end
end

return M
