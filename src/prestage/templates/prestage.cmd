@echo off
rem Sets up {{IMAGE}} revision {{REVISION}} as the first image of this computer.
rem
rem Run it in an administrator's command prompt, where the kit lies, on Windows 7 or newer. Again is fine.
rem It ends with 0 when everything is in place and checked, and with 1 after it has said what failed.
setlocal EnableExtensions DisableDelayedExpansion
{{CODE_PAGE}}set "KIT=%~dp0MED-V Images\PrestagedImages"
set "IMAGES={{IMAGES}}"
set "PRESTAGED={{PRESTAGED}}"
set "INDEX={{INDEX}}"
set "TOOLS=%SystemRoot%\System32"

rem 1. The folders.
set "STEP=the folders could not be made"
if not exist "%PRESTAGED%" mkdir "%PRESTAGED%"
if not exist "%PRESTAGED%" goto failed

rem 2. Whose they are, and who may do what there: SYSTEM and Administrators everything, Authenticated Users what is
rem listed. What somebody granted before goes.
set "STEP=icacls could not set the rights of MED-V Images: not an administrator's prompt, or older than Windows 7"
"%TOOLS%\icacls.exe" "%IMAGES%" /setowner "*S-1-5-32-544"
if not "%errorlevel%"=="0" goto failed
"%TOOLS%\icacls.exe" "%IMAGES%" /reset
if not "%errorlevel%"=="0" goto failed
"%TOOLS%\icacls.exe" "%IMAGES%" {{IMAGES_RIGHTS}}
if not "%errorlevel%"=="0" goto failed
set "STEP=icacls could not set the rights of the folder PrestagedImages"
"%TOOLS%\icacls.exe" "%PRESTAGED%" /setowner "*S-1-5-32-544"
if not "%errorlevel%"=="0" goto failed
"%TOOLS%\icacls.exe" "%PRESTAGED%" /reset
if not "%errorlevel%"=="0" goto failed
"%TOOLS%\icacls.exe" "%PRESTAGED%" {{PRESTAGED_RIGHTS}}
if not "%errorlevel%"=="0" goto failed

rem 3. The files: copied under another name, checked, renamed, marked read-only. The index comes last.
set "STEP=certutil.exe is missing, without which no digest can be checked"
if not exist "%TOOLS%\certutil.exe" goto failed
set "STEP=the folder PrestagedImages cannot be opened"
pushd "%PRESTAGED%"
if not "%errorlevel%"=="0" goto failed
{{FILES}}
popd

rem 4. Where the client looks for them. It is a 32-bit program.
set "STEP=the registry value PrestagedImagesPath could not be set"
set "KEY=HKLM\SOFTWARE\WOW6432Node\Kidaro"
if /i "%PROCESSOR_ARCHITECTURE%"=="x86" set "KEY=HKLM\SOFTWARE\Kidaro"
"%TOOLS%\reg.exe" add "%KEY%" /v PrestagedImagesPath /t REG_SZ /d "%PRESTAGED%" /f
if not "%errorlevel%"=="0" goto failed

echo prestage: {{IMAGE}} revision {{REVISION}} is in place and checked. Install the client with
echo     msiexec /i Client.msi VMSFOLDER="%IMAGES%"
exit /b 0

:failed
echo prestage: FAILED: %STEP%>&2
echo prestage: the folder was "%PRESTAGED%">&2
exit /b 1

rem Puts the file NAME with the digest HASH from the kit into the folder at hand.
:place
if not exist "%NAME%" goto copy
set "FILE=%NAME%"
set "STEP=%NAME% is not the file that was packed: its digest is another"
call :hash
if /i "%FOUND%"=="%HASH%" goto mark
if /i "%KIT%"=="%PRESTAGED%" exit /b 1
:copy
set "STEP=%NAME% could not be copied from the kit"
if not exist "%KIT%\%NAME%" exit /b 1
rem An index tells the client that its image is there: not while it is not.
if "%INDEX%"=="" goto alone
if not exist "%INDEX%" goto alone
"%TOOLS%\attrib.exe" -R "%INDEX%"
del /f /q "%INDEX%"
:alone
if exist "%NAME%.part" del /f /q "%NAME%.part"
copy /b "%KIT%\%NAME%" "%NAME%.part" >nul
if not "%errorlevel%"=="0" exit /b 1
set "FILE=%NAME%.part"
set "STEP=the copy of %NAME% is not the file that was packed: its digest is another"
call :hash
if /i "%FOUND%"=="%HASH%" goto rename
del /f /q "%NAME%.part"
exit /b 1
:rename
set "STEP=%NAME%.part could not be renamed"
if exist "%NAME%" "%TOOLS%\attrib.exe" -R "%NAME%"
move /y "%NAME%.part" "%NAME%" >nul
if not "%errorlevel%"=="0" exit /b 1
:mark
set "STEP=%NAME% could not be marked read-only"
"%TOOLS%\attrib.exe" +R "%NAME%"
exit /b

rem FOUND is the digest of FILE afterwards; empty where there is none. Older systems write it with spaces, and what
rem went wrong in its place: a digest has 64 digits.
:hash
set "FOUND="
for /f "skip=1 delims=" %%H in ('""%TOOLS%\certutil.exe" -hashfile "%FILE%" SHA256"') do if not defined FOUND set "FOUND=%%H"
if defined FOUND set "FOUND=%FOUND: =%"
if not defined FOUND goto nothing
if "%FOUND:~63,1%"=="" goto nothing
if "%FOUND:~64%"=="" exit /b 0
:nothing
set "FOUND="
set "STEP=certutil.exe gave no digest of %FILE%; try prestage.ps1"
exit /b 0
