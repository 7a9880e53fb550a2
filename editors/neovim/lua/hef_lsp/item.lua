-- A suggestion and its place in a buffer: what of it is still to be typed, and how to put it in.
-- Positions are bytes that count from 0.
local M = {}

---@class hef_lsp.Item
---@field text string What shall stand from the start to the cursor and beyond.
---@field row integer Where its range starts.
---@field col integer
---@field after string What of its range stands behind the cursor; it is replaced.
---@field tail string The rest of the cursor's line when it was asked for, `after` included.

---@param bufnr integer
---@return integer row, integer col
function M.cursor(bufnr)
  local window = vim.api.nvim_get_current_win()
  if vim.api.nvim_win_get_buf(window) ~= bufnr then
    window = vim.fn.bufwinid(bufnr)
  end
  local place = vim.api.nvim_win_get_cursor(window)
  return place[1] - 1, place[2]
end

---@param bufnr integer
---@param row integer
---@return string
local function line_at(bufnr, row)
  return vim.api.nvim_buf_get_lines(bufnr, row, row + 1, false)[1] or ''
end

---@param bufnr integer
---@param row integer
---@param col integer
---@return string
function M.tail_at(bufnr, row, col)
  return line_at(bufnr, row):sub(col + 1)
end

-- `range` is {start_row, start_col, end_row, end_col}; it ends on the line of the cursor.
---@param text string
---@param range integer[]
---@param row integer The cursor's.
---@param col integer
---@param tail string
---@return hef_lsp.Item
function M.new(text, range, row, col, tail)
  local after = range[3] == row and tail:sub(1, math.max(0, range[4] - col)) or ''
  return { text = text, row = range[1], col = range[2], after = after, tail = tail }
end

-- The part of the item that the cursor has not reached; nil where the text went another way.
---@param bufnr integer
---@param item hef_lsp.Item
---@return string?
function M.remaining(bufnr, item)
  local row, col = M.cursor(bufnr)
  if row < item.row or (row == item.row and col < item.col) then
    return nil
  end
  if M.tail_at(bufnr, row, col) ~= item.tail or #line_at(bufnr, item.row) < item.col then
    return nil
  end
  local typed =
    table.concat(vim.api.nvim_buf_get_text(bufnr, item.row, item.col, row, col, {}), '\n')
  if item.text:sub(1, #typed) ~= typed then
    return nil
  end
  return item.text:sub(#typed + 1)
end

-- Puts `text`, the first part of what remains, before the cursor, in an undo step of its own.
---@param bufnr integer
---@param item hef_lsp.Item
---@param text string
---@param whole boolean Whether nothing remains after it.
function M.insert(bufnr, item, text, whole)
  local row, col = M.cursor(bufnr)
  local lines = vim.split(text, '\n', { plain = true })
  local behind = whole and #item.after or 0
  vim.bo[bufnr].undolevels = vim.bo[bufnr].undolevels -- ends the undo step of what was typed
  vim.api.nvim_buf_set_text(bufnr, row, col, row, col + behind, lines)
  local last = #lines == 1 and col + #lines[1] or #lines[#lines]
  vim.api.nvim_win_set_cursor(0, { row + #lines, last })
end

-- The next word with the white space and signs before it; a line break counts as white space.
---@param text string
---@return string
function M.first_word(text)
  return text:match('^%s*[%w_\128-\255]+') or text:match('^%s*[^%w%s_\128-\255]+') or text
end

-- Up to the end of the line; where that is reached, the next line.
---@param text string
---@return string
function M.first_line(text)
  return text:match('^\n?[^\n]*')
end

return M
