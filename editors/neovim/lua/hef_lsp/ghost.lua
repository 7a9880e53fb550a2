-- The ghost text of each buffer: which suggestions there are and which is shown. It stays while
-- the text typed agrees with it and goes when it does not; then, if text changed, it asks anew.
local Ask = require('hef_lsp.ask')
local Draw = require('hef_lsp.draw')
local Item = require('hef_lsp.item')
local client_of = require('hef_lsp.client').of

local M = {}

---@class hef_lsp.Shown
---@field items hef_lsp.Item[]
---@field index integer
---@field invoked boolean Whether all alternatives were asked for.

---@type table<integer, hef_lsp.Shown>
local shown = {}

---@type table<integer, integer>
local seen_tick = {}

---@param bufnr integer
---@return hef_lsp.Item?, string?
local function current(bufnr)
  local state = shown[bufnr]
  local item = state and state.items[state.index]
  local rest = item and Item.remaining(bufnr, item)
  if rest and rest ~= '' then
    return item, rest
  end
end

-- Draws what remains of the item shown; false where nothing does.
---@param bufnr integer
---@return boolean
local function redraw(bufnr)
  local item, rest = current(bufnr)
  if not item or not rest then
    M.clear(bufnr)
    return false
  end
  local state = shown[bufnr]
  local hint = #state.items > 1 and (' (%d/%d)'):format(state.index, #state.items) or nil
  local row, col = Item.cursor(bufnr)
  Draw.show(bufnr, row, col, rest, hint)
  return true
end

---@param bufnr integer
---@param items hef_lsp.Item[]
---@param invoked boolean
---@param index? integer
local function take(bufnr, items, invoked, index)
  local here = bufnr == vim.api.nvim_get_current_buf()
  if not here or not vim.startswith(vim.api.nvim_get_mode().mode, 'i') then
    return
  end
  items = vim.tbl_filter(function(item)
    return (Item.remaining(bufnr, item) or '') ~= ''
  end, items)
  if #items > 0 then
    shown[bufnr] = { items = items, index = ((index or 1) - 1) % #items + 1, invoked = invoked }
    redraw(bufnr)
  end
end

---@param bufnr integer
local function has_selection(bufnr)
  return bufnr == vim.api.nvim_get_current_buf()
    and vim.fn.pumvisible() == 1
    and vim.fn.complete_info({ 'selected' }).selected >= 0
end

-- Called whenever the text or the cursor may have changed.
---@param bufnr integer
---@param may_ask boolean False where Neovim itself asks.
function M.refresh(bufnr, may_ask)
  local tick = vim.api.nvim_buf_get_changedtick(bufnr)
  local changed = tick ~= seen_tick[bufnr]
  seen_tick[bufnr] = tick
  if has_selection(bufnr) then -- the list shows its own text in the buffer
    M.dismiss(bufnr)
  elseif not redraw(bufnr) and changed and may_ask then
    M.ask(bufnr)
  end
end

---@param bufnr integer
function M.ask(bufnr)
  local client = client_of(bufnr)
  if client then
    Ask.ask(bufnr, client, Ask.AUTOMATIC, function(items)
      take(bufnr, items, false)
    end)
  end
end

-- Shows the next (`step` 1) or the previous (-1); the first time it asks for alternatives.
---@param bufnr integer
---@param step integer
function M.turn(bufnr, step)
  local state = shown[bufnr]
  if current(bufnr) and state.invoked then
    state.index = (state.index - 1 + step) % #state.items + 1
    redraw(bufnr)
    return
  end
  local client = client_of(bufnr)
  local index = current(bufnr) and 1 + step or 1
  if client then
    Ask.ask(bufnr, client, Ask.INVOKED, function(items)
      take(bufnr, items, true, index)
    end)
  end
end

-- Takes the part of the suggestion that `part` cuts off; false where there is none.
---@param bufnr integer
---@param part fun(text: string): string
---@return boolean
function M.accept(bufnr, part)
  local item, rest = current(bufnr)
  if not item or not rest then
    return false
  end
  local text = part(rest)
  local whole = text == rest
  Item.insert(bufnr, item, text, whole)
  if whole then
    M.clear(bufnr)
  else
    redraw(bufnr)
  end
  return true
end

---@param bufnr integer
---@return boolean
function M.is_visible(bufnr)
  return current(bufnr) ~= nil
end

---@param bufnr integer
function M.clear(bufnr)
  shown[bufnr] = nil
  Draw.clear(bufnr)
end

-- Takes the suggestion off the screen, and the request on its way with it.
---@param bufnr integer
function M.dismiss(bufnr)
  Ask.cancel(bufnr)
  M.clear(bufnr)
end

---@param bufnr integer
function M.forget(bufnr)
  M.dismiss(bufnr)
  seen_tick[bufnr] = nil
end

return M
