;;; hef-lsp.el --- hef-lsp through eglot or lsp-mode  -*- lexical-binding: t; -*-

;; Makes hef-lsp a server of all programming modes; `M-x eglot' or `M-x lsp' starts it,
;; `completion-at-point' completes.  With lsp-mode it runs beside other servers.

;;; Code:

(defvar hef-lsp-command '("hef-lsp" "serve")
  "The program and its arguments.")

(with-eval-after-load 'eglot
  (add-to-list 'eglot-server-programs (cons '(prog-mode) hef-lsp-command)))

(declare-function lsp-register-client "lsp-mode")
(declare-function make-lsp-client "lsp-mode")
(declare-function lsp-stdio-connection "lsp-mode")

(defvar hef-lsp--notifications
  (let ((handlers (make-hash-table :test 'equal)))
    (puthash "hef/status" #'ignore handlers)
    handlers)
  "What lsp-mode would warn of as unknown.")

(with-eval-after-load 'lsp-mode
  (lsp-register-client
   (make-lsp-client
    :new-connection (lsp-stdio-connection (lambda () hef-lsp-command))
    :activation-fn (lambda (&rest _) (derived-mode-p 'prog-mode))
    :server-id 'hef-lsp
    :notification-handlers hef-lsp--notifications
    :add-on? t
    :priority -1)))

(provide 'hef-lsp)
;;; hef-lsp.el ends here
