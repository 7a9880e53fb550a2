;;; hef-lsp.el --- hef-lsp through eglot  -*- lexical-binding: t; -*-

;; Makes hef-lsp the server of Python buffers; `M-x eglot' starts it, `completion-at-point' completes.

;;; Code:

(require 'eglot)

(add-to-list 'eglot-server-programs '((python-mode) . ("hef-lsp" "serve")))

(provide 'hef-lsp)
;;; hef-lsp.el ends here
